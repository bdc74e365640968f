"""What a user did on their channel, as a message for the agents."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from rasa_handoff.attachments import is_web_address
from rasa_handoff.channels.base import Channel, ChannelFile, Heard, pressed
from rasa_handoff.media import Media, MediaFile
from rasa_handoff.model import Attachment, Handoff, Message, new_id
from rasa_handoff.transcript import clean, redact_text

_LONGEST_NAME = 100  #: characters of a file's; its end says what it is
_LONGEST_ID = 200  #: characters
_MOST_CARRIED = 50  #: files with one message of a service's


class Hearing:
    """Makes messages of what was heard.

    Args:
        media: makes links to files that need the channel's credentials.
        patterns: what is blanked.
        deleted_text: what agents read of a message that the user has deleted.
    """

    def __init__(self, media: Media, patterns: Sequence[re.Pattern[str]], deleted_text: str) -> None:
        self._media = media
        self._patterns = patterns
        self._deleted_text = deleted_text

    def message(self, channel: Channel, handoff: Handoff, heard: Heard, to_bot: str) -> Message:
        """What the agents get, where the bot would have got *to_bot*; empty: nothing."""
        text = clean(heard.text) if heard.text is not None else to_bot
        if heard.button is not None:
            text = clean(pressed(heard.button))
        if heard.deletes is not None:
            text = self._deleted_text
        text, to_bot = (redact_text(each, self._patterns) for each in (text, to_bot))
        carried, unseen = self._carried(channel, handoff, heard)
        if heard.writer and (text or carried or unseen):
            text = f"{clean(heard.writer)[:_LONGEST_NAME]}: {text}".rstrip()
        return Message(
            id=new_id(),
            who="user",
            text="\n".join(filter(None, (text, *unseen))),
            attachments=tuple(carried),
            edits=_known(heard.edits),
            deletes=_known(heard.deletes),
            to_bot=None if to_bot and to_bot == text and not unseen else to_bot,
            at=time.time(),
        )

    def _carried(self, channel: Channel, handoff: Handoff, heard: Heard) -> tuple[list[Attachment], list[str]]:
        """What goes along, and a line for each file that nobody could open."""
        shown: list[Attachment] = []
        unseen: list[str] = []
        for each in heard.attachments[:_MOST_CARRIED]:
            if isinstance(each, Attachment):
                # What a user's program calls an address may be a script, or the file itself.
                known = is_web_address(each.url)
                shown += [each] if known else []
                unseen += [] if known else [f"[{each.kind}: the user sent it, but its address cannot be opened]"]
                continue
            file = _file(each, channel, handoff)
            url = self._media.link(file)
            shown.append(Attachment(url=url, kind=each.kind, name=file.name, mime=each.mime, size=each.size))
        return shown, unseen


def external_id(given: str) -> str:
    """What a channel calls a message, as we know it by."""
    return clean(given)[:_LONGEST_ID]


def _known(given: str | None) -> str | None:
    return external_id(given) if given else None


def _file(file: ChannelFile, channel: Channel, handoff: Handoff) -> MediaFile:
    return MediaFile(
        channel=channel.name,
        handoff_id=handoff.id,
        reference=file.reference,
        kind=file.kind,
        name=clean(file.name)[-_LONGEST_NAME:] or None,
        mime=file.mime,
    )
