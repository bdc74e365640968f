"""What user and agent wrote during a handoff, and which of it has been seen before."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from typing import Any

from rasa_handoff.model import Attachment, Button, Card, Message
from rasa_handoff.store.writer import Tx

_INSERT = "INSERT INTO handoff_messages (id, handoff_id, seq, body) VALUES (:id, :handoff_id, :seq, :body)"
_GET = "SELECT id, body FROM handoff_messages WHERE id = :id AND handoff_id = :handoff_id"
_SEE = "INSERT INTO handoff_seen (scope, event_id, at) VALUES (:scope, :event_id, :at) ON CONFLICT DO NOTHING"
_SEE_UNNAMED = (
    "INSERT INTO handoff_seen (scope, event_id, at) VALUES (:scope, :event_id, :at) "
    "ON CONFLICT (scope, event_id) DO UPDATE SET at = "
    "CASE WHEN abs(handoff_seen.at - :at) < :within THEN handoff_seen.at ELSE :at END"
)
_SEEN_AT = "SELECT at FROM handoff_seen WHERE scope = :scope AND event_id = :event_id"


def first_sight(tx: Tx, scope: str, event_id: str, now: float) -> bool:
    """Remember this id; False if it was seen before in *scope*."""
    return tx.run(_SEE, {"scope": scope, "event_id": event_id, "at": now}) == 1


def was_seen(tx: Tx, scope: str, event_id: str) -> bool:
    """Whether this id was seen in *scope*."""
    return tx.one(_SEEN_AT, {"scope": scope, "event_id": event_id}) is not None


def id_of_unnamed(tx: Tx, scope: str, said: bytes, now: float, within: float) -> str:
    """An id for something that came without one: the same for the same bytes within so many seconds."""
    if not within:
        return str(uuid.uuid4())
    digest = hashlib.sha256(said).hexdigest()
    key = {"scope": scope, "event_id": f"bytes:{digest}"}
    tx.run(_SEE_UNNAMED, {**key, "at": now, "within": within})
    seen = tx.one(_SEEN_AT, key)
    since = seen[0] if seen else now
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{scope} {digest} {since!r}"))


def insert(tx: Tx, handoff_id: str, seq: int, message: Message) -> None:
    tx.run(_INSERT, {"id": message.id, "handoff_id": handoff_id, "seq": seq, "body": dumps(message)})


def delete(tx: Tx, message_id: str) -> None:
    tx.run("DELETE FROM handoff_messages WHERE id = :id", {"id": message_id})


def of(tx: Tx, handoff_id: str) -> list[Message]:
    """The messages of a handoff, in order."""
    sql = "SELECT id, body FROM handoff_messages WHERE handoff_id = :id ORDER BY seq"
    return [loads(row[0], row[1]) for row in tx.all(sql, {"id": handoff_id})]


def get(tx: Tx, handoff_id: str, message_id: str) -> Message | None:
    """The message of a handoff with this id."""
    row = tx.one(_GET, {"handoff_id": handoff_id, "id": message_id})
    return loads(row[0], row[1]) if row else None


def is_no_news(tx: Tx, handoff_id: str, edit: Message) -> bool:
    """Whether the message that *edit* takes the place of says the same already."""
    there = [each for each in of(tx, handoff_id) if edit.edits in (each.known_as, each.edits, each.deletes)]
    return bool(there) and (there[-1].text, there[-1].attachments) == (edit.text, edit.attachments)


def is_known_as(tx: Tx, handoff_id: str, theirs: str) -> bool:
    """Whether a message of the handoff is called *theirs* by the user's own side."""
    return any(each.known_as == theirs for each in of(tx, handoff_id))


def dumps(message: Message) -> str:
    """A message as JSON, without its id and without what is empty."""
    body: dict[str, Any] = {"who": message.who, "text": message.text, "at": message.at}
    if message.name:
        body["name"] = message.name
    if message.avatar_url:
        body["avatar_url"] = message.avatar_url
    if message.attachments:
        body["attachments"] = [_dump_attachment(each) for each in message.attachments]
    if message.buttons:
        body["buttons"] = _dump_buttons(message.buttons)
    if message.cards:
        body["cards"] = [[c.title, c.text, c.image_url, c.url, _dump_buttons(c.buttons)] for c in message.cards]
    if message.to_bot is not None:
        body["to_bot"] = message.to_bot
    if message.known_as:
        body["known_as"] = message.known_as
    if message.edits:
        body["edits"] = message.edits
    if message.deletes:
        body["deletes"] = message.deletes
    return json.dumps(body, ensure_ascii=False)


def loads(message_id: str, body: str) -> Message:
    """The message that `dumps` wrote."""
    known = json.loads(body)
    attachments = known.pop("attachments", ())
    buttons = known.pop("buttons", ())
    cards = known.pop("cards", ())
    return Message(
        id=message_id,
        attachments=tuple(map(_load_attachment, attachments)),
        buttons=_load_buttons(buttons),
        cards=tuple(Card(title=c[0], text=c[1], image_url=c[2], url=c[3], buttons=_load_buttons(c[4])) for c in cards),
        **known,
    )


def _dump_attachment(attachment: Attachment) -> list[Any]:
    known = [attachment.url, attachment.kind, attachment.name, attachment.mime]
    return known if attachment.size is None else [*known, attachment.size]


def _load_attachment(dumped: list[Any]) -> Attachment:
    url, kind, name, mime, *size = dumped
    return Attachment(url=url, kind=kind, name=name, mime=mime, size=size[0] if size else None)


def _dump_buttons(buttons: Iterable[Button]) -> list[list[str]]:
    return [[b.title, b.payload, b.url] if b.url else [b.title, b.payload] for b in buttons]


def _load_buttons(dumped: Iterable[list[str]]) -> tuple[Button, ...]:
    return tuple(Button(title=title, payload=payload, url=url[0] if url else None) for title, payload, *url in dumped)
