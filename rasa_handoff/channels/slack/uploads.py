"""Agents' files in Slack: uploaded into the conversation, where the bot may.

It takes three steps. Nobody sees the first two, and Slack discards a file whose third step does not come:

- https://docs.slack.dev/reference/methods/files.getUploadURLExternal
- https://docs.slack.dev/messaging/working-with-files#upload
- https://docs.slack.dev/reference/methods/files.completeUploadExternal
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from rasa_handoff.channels.agent_files import AgentFile, AgentFiles
from rasa_handoff.channels.base import Around
from rasa_handoff.channels.notes import ANEW, note
from rasa_handoff.channels.slack.refusals import MISSING_SCOPE, NO_ANSWER, code_of, meaning, no_answer
from rasa_handoff.errors import FetchError, TemporaryError
from rasa_handoff.model import Attachment, Json

log = logging.getLogger(__name__)

SHOWN_IN = 5.0  #: seconds, at most, until people see what is shared
_LOOKS_EVERY = 0.5  #: seconds
_DOING = "share a file"
_UNDER_WAY = 1000  #: files of which it is not known whether they were shared


class Uploads:
    """Shares agents' files.

    Args:
        client: makes a client of Slack's Web API, with the bot's token and proxy in it.
    """

    def __init__(self, client: Callable[[], AsyncWebClient], around: Around) -> None:
        self._client = client
        self._now = around.now
        self._files = AgentFiles("slack", around)
        self._refused_until = 0.0
        self._uploaded: OrderedDict[str, str] = OrderedDict()  # file ids, by what they are shared for

    async def close(self) -> None:
        await self._files.close()

    async def share(self, attachment: Attachment, place: Json, speaker: Json, key: str) -> bool:
        """Share it in a conversation; False where it has to come as a link.

        Args:
            place: ``channel_id``, and ``thread_ts`` where it is a thread's; a user's id is no channel's here.
            speaker: ``username`` and ``icon_url``, or nothing.
            key: the same when it is tried again: then what Slack has of the file already is shared, and only once.

        Raises:
            TemporaryError: Slack is not there now, or it is not known whether it is shared.
        """
        known = self._uploaded.get(key)
        if known is None and self._now() < self._refused_until:
            return False
        file_id = known or await self._files.hand_on(attachment, self._upload)
        if file_id is None:
            return False
        note(self._uploaded, key, file_id, _UNDER_WAY)
        shared = await self._complete({"id": file_id, "title": attachment.name}, place, speaker)
        if shared:
            await self._until_shown(file_id)
        self._uploaded.pop(key, None)  # not where the last step raised, or was cut off
        return shared

    async def _upload(self, file: AgentFile) -> str:
        """The first two steps; the file's id."""
        client = self._client()
        try:
            place = await client.files_getUploadURLExternal(filename=file.name, length=len(file.body))
        except SlackApiError as error:
            raise self._refusal(error) from error
        except NO_ANSWER as error:
            raise no_answer(error, _DOING) from error
        await _send(str(place["upload_url"]), file, client.proxy)
        return str(place["file_id"])

    async def _complete(self, file: Json, place: Json, speaker: Json) -> bool:
        # No comment: if Slack's event of it came without a bot_id, Rasa's channel would take its text for a user's.
        try:
            await self._client().files_completeUploadExternal(files=[file], **place, **speaker)
        except SlackApiError as error:
            return await self._completed_less(file, place, speaker, error)
        except NO_ANSWER as error:
            raise no_answer(error, _DOING) from error
        return True

    async def _completed_less(self, file: Json, place: Json, speaker: Json, error: SlackApiError) -> bool:
        """Slack said no: without the speaker's name it may say yes.

        It lets nobody share a file twice; and its library asks a second time by itself when an answer got lost.
        """
        refusal = meaning(error, _DOING)
        if isinstance(refusal, TemporaryError):
            raise refusal from error
        if speaker and code_of(error) == MISSING_SCOPE:
            return await self._complete(file, place, {})
        if await self._is_shared(file["id"]):  # where Slack does not tell, a link as well is better than nothing
            return True
        log.info("channel.file_as_link channel=slack why=%s", refusal)
        return False

    async def _until_shown(self, file_id: str) -> None:
        """Wait, but not long, while Slack says that nobody sees it yet: what is said next is to come behind it."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._shown(file_id), SHOWN_IN)

    async def _shown(self, file_id: str) -> None:
        while await self._is_shared(file_id) is False:
            await asyncio.sleep(_LOOKS_EVERY)

    async def _is_shared(self, file_id: str) -> bool | None:
        """Whether people see it, as https://docs.slack.dev/reference/methods/files.info tells; None: it does not."""
        with suppress(SlackApiError, *NO_ANSWER):
            file = (await self._client().files_info(file=file_id)).get("file") or {}
            return bool(file.get("shares") or file.get("channels") or file.get("groups") or file.get("ims"))
        return None

    def _refusal(self, error: SlackApiError) -> FetchError | TemporaryError:
        refusal = meaning(error, _DOING)
        if isinstance(refusal, TemporaryError):
            return refusal
        if code_of(error) == MISSING_SCOPE:
            self._refused_until = self._now() + ANEW
        return FetchError(str(refusal))


async def _send(url: str, file: AgentFile, proxy: str | None) -> None:
    """The second step; its address is open to whoever knows it, and so in no message of ours."""
    try:
        async with aiohttp.ClientSession() as session, session.post(url, data=file.opened(), proxy=proxy) as reply:
            if reply.status != 200:
                raise FetchError(f"it is not taken by Slack: HTTP {reply.status}")
    except (aiohttp.ClientError, OSError) as error:
        raise FetchError(f"it is not taken by Slack: {type(error).__name__}") from None
