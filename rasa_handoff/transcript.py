"""Tracker events → the transcript, parameters and last message an agent sees."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rasa_handoff.model import NO_CHANNEL, Json, Line, Request
from rasa_handoff.settings import Redaction
from rasa_handoff.strict_json import DEEPEST, LARGEST

MOST_LINES = 200
LONGEST_TEXT = 10_000  #: characters of one line
MOST_DETAILS = 20  #: of how to reach a user
LONGEST_DETAIL = 1_000  #: characters
# A request to the server has at most 256 kB; these parts of it leave room for the rest.
TRANSCRIPT_BYTES = 128_000
PARAMETER_BYTES = 64_000
METADATA_BYTES = 32_000

REDACTED = "[redacted]"
_CUT = "…"
_EXTERNAL = "EXTERNAL: "  # how Rasa writes an intent that a program triggered
_PAYLOAD = re.compile(r"/(?P<intent>[^\s{}@/][^\s{}@]*)(?:@[0-9.]+)?\s*(?:\{.*\})?", re.DOTALL)
_CONTACT = re.compile(r"(?:handoff_)?callback_(.+)")
UNSAID = "handoff_unsaid"  #: true in a message's metadata: its channel said it for the user, to have the bot begin
_OURS = "handoff_"
_RASAS_OWN = frozenset({"requested_slot", "session_started_metadata"})


def request(
    sender_id: str, channel: str | None, events: Iterable[Mapping[str, Any]], slots: Mapping[str, Any], details: Any
) -> Request:
    """Everything an agent should know of a conversation with the bot.

    Args:
        events: the tracker's, oldest first.
        details: the metadata of the user's last message.
    """
    lines = from_tracker(events)
    return Request(
        sender_id=sender_id,
        channel=channel or NO_CHANNEL,
        transcript=lines,
        parameters=parameters(slots),
        last_message=next((line.text for line in reversed(lines) if line.who == "user"), None),
        metadata=metadata(details),
        backend=_wish(slots.get("handoff_to")),
        group=_wish(slots.get("handoff_group")),
        priority=_wish(slots.get("handoff_priority")),
    )


def _wish(slot: Any) -> str | None:
    """What the bot's slot says of where a handoff is to go."""
    return None if slot is None else clean(slot)


# The transcript


def from_tracker(events: Iterable[Mapping[str, Any]]) -> tuple[Line, ...]:
    """What user and bot said since the last restart: the newest lines that an agent can use."""
    lines: list[Line] = []
    titles: dict[str, str] = {}
    for event in _since_restart(events):
        kind = event.get("event")
        if kind == "bot":
            titles.update(_button_titles(event))
            text = _bots_words(event)
        elif kind == "user":
            text = _users_words(event, titles)
        else:
            continue
        if text:
            lines.append(Line(who="bot" if kind == "bot" else "user", text=text, at=_time(event)))
    return _newest(lines)


def _since_restart(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    kept: list[Mapping[str, Any]] = []
    for event in events:
        if event.get("event") == "restart":
            kept.clear()
        else:
            kept.append(event)
    return kept


def _users_words(event: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """What the user typed; of a pressed button, what it said."""
    text = clean(event.get("text")).strip()
    if text.startswith(_EXTERNAL) or _is_unsaid(event.get("metadata")):
        return ""
    payload = _PAYLOAD.fullmatch(text)
    if payload is None:
        return _shortened(text)
    if payload["intent"] == "session_start":
        return ""
    return _shortened(titles.get(text) or re.sub(r"[_+/-]+", " ", payload["intent"]))


def _is_unsaid(metadata: Any) -> bool:
    return isinstance(metadata, Mapping) and metadata.get(UNSAID) is True


def _bots_words(event: Mapping[str, Any]) -> str:
    data = event.get("data") or {}
    parts = [clean(event.get("text")).strip(), *_extras(data)]
    return _shortened("\n".join(filter(None, parts)))


def _extras(data: Mapping[str, Any]) -> Iterator[str]:
    """What a bot message has besides text, as text."""
    if data.get("image"):
        yield f"[image: {clean(data['image'])}]"
    if data.get("attachment"):
        yield f"[attachment: {_attachment(data['attachment'])}]"
    for button in _buttons(data):
        yield f"[button: {clean(button.get('title'))}]"
    for element in _mappings(data.get("elements")):
        yield f"[card: {clean(element.get('title'))}]"
    if data.get("custom"):
        yield f"[custom: {_compact(data['custom'])}]"


def _attachment(attachment: Any) -> str:
    """The address in an attachment, wherever the channel wants it."""
    if not isinstance(attachment, Mapping):
        return clean(attachment)
    payload = attachment.get("payload")
    inner = payload if isinstance(payload, Mapping) else {}
    return clean(inner.get("src") or inner.get("url") or attachment.get("url")) or _compact(attachment)


def _compact(value: Any) -> str:
    return json.dumps(json_safe(value), ensure_ascii=False)


def _buttons(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*_mappings(data.get("buttons")), *_mappings(data.get("quick_replies"))]


def _button_titles(event: Mapping[str, Any]) -> dict[str, str]:
    """What each button of a bot message says, by what it sends."""
    buttons = _buttons(event.get("data") or {})
    return {clean(b.get("payload")).strip(): clean(b.get("title")) for b in buttons if b.get("payload")}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _time(event: Mapping[str, Any]) -> float:
    at = event.get("timestamp")
    return float(at) if isinstance(at, (int, float)) and math.isfinite(at) else 0.0


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + _CUT


def _newest(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The end of the conversation, as much of it as a request can carry."""
    kept: list[Line] = []
    room = TRANSCRIPT_BYTES
    for line in reversed(lines[-MOST_LINES:]):
        room -= _size({"who": line.who, "text": line.text, "at": line.at}) + 2
        if room < 0:
            break
        kept.append(line)
    return tuple(reversed(kept))


# Parameters and metadata


def parameters(slots: Mapping[str, Any]) -> Json:
    """The slots that are set, without Rasa's own and ours, as far as a request can carry them."""
    kept: Json = {}
    room = PARAMETER_BYTES
    for name, value in slots.items():
        if value is None or name.startswith(_OURS) or name in _RASAS_OWN:
            continue
        safe = json_safe({name: value})
        size = _size(safe)
        if size <= room:
            kept.update(safe)
            room -= size
    return kept


def contact(slots: Mapping[str, Any]) -> dict[str, str]:
    """How to reach the user: each slot ``callback_…`` or ``handoff_callback_…`` that is set, by what it is called."""
    found: dict[str, str] = {}
    for name, value in slots.items():
        detail = _CONTACT.fullmatch(name)
        text = clean(value).strip()[:LONGEST_DETAIL] if detail else ""
        if detail and text and len(found) < MOST_DETAILS:
            found[detail[1]] = text
    return found


def metadata(found: Any) -> Json:
    """What the channel said about the message; nothing when a request cannot carry it."""
    safe = json_safe(found) if isinstance(found, Mapping) else {}
    return safe if _size(safe) <= METADATA_BYTES else {}


def json_safe(value: Any, depth: int = DEEPEST - 4) -> Any:
    """*value* as JSON that the server takes: no NaN, no huge number, no broken text, not too deep."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value if math.isfinite(value) and -LARGEST <= value <= LARGEST else str(value)
    if isinstance(value, Mapping):
        return {clean(k): json_safe(v, depth - 1) for k, v in value.items()} if depth else _CUT
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_safe(item, depth - 1) for item in value] if depth else _CUT
    return clean(value)


def clean(value: Any) -> str:
    """*value* as text that UTF-8 and every database can hold."""
    text = "" if value is None else str(value).replace("\0", "\N{REPLACEMENT CHARACTER}")
    # Two halves of a surrogate pair become one character, a lone one the replacement character.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


# Redaction


def redact(request: Request, rules: Redaction) -> Request:
    """*request* without what must not leave: slots by name, and every match of a pattern."""

    def hide(text: str) -> str:
        return redact_text(text, rules.patterns)

    kept = {name: value for name, value in request.parameters.items() if name not in rules.slots}
    return replace(
        request,
        transcript=tuple(replace(line, text=hide(line.text)) for line in request.transcript),
        parameters=_everywhere(kept, hide),
        last_message=None if request.last_message is None else hide(request.last_message),
        metadata=_everywhere(request.metadata, hide),
    )


def redact_text(text: str, patterns: Sequence[re.Pattern[str]]) -> str:
    """*text* with every match of *patterns* replaced."""
    for pattern in patterns:
        text = pattern.sub(REDACTED, text)
    return text


def _everywhere(value: Any, hide: Callable[[str], str]) -> Any:
    """*value* with *hide* applied to its texts and numbers, at any depth."""
    if isinstance(value, dict):
        return {key: _everywhere(item, hide) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_everywhere(item, hide) for item in value]
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        hidden = hide(str(value))
        return value if hidden == str(value) else hidden
    return value
