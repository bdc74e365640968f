"""Slack's users: what they say beside Rasa's channel, and how agents reach them.

Rasa's channel tells the bot of direct messages, of mentions, and of everything in its ``slack_channel``, where
there is a text. It tells it nothing of files without a text, and of a text it loses the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from rasa.core.channels.channel import OutputChannel, UserMessage
from rasa.core.channels.slack import SlackBot
from sanic.request import Request
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from rasa_handoff.channels.base import Around, Channel, ChannelFile, Heard, To, Traits
from rasa_handoff.channels.notes import ANEW
from rasa_handoff.channels.service import bearer, kind_of, require_host
from rasa_handoff.channels.slack.messages import ESCAPED, LONGEST_TEXT, SPEAKER, Post, posts
from rasa_handoff.channels.slack.refusals import MISSING_SCOPE, NO_ANSWER, code_of, meaning, no_answer
from rasa_handoff.channels.slack.uploads import Uploads
from rasa_handoff.errors import FetchError
from rasa_handoff.fetch import File, host_of
from rasa_handoff.model import Attachment, Button, Json, Message

_FILES = "files.slack.com"
_HOSTS = (".slack.com", ".slack-gov.com")  #: that get the bot's token
_BAD_BLOCKS = {"invalid_blocks", "invalid_blocks_format", "invalid_attachments"}  # e.g. an image it cannot load
_SAID_BY_USERS = {None, "file_share", "thread_broadcast", "me_message"}  #: subtypes of a message
_LINK = re.compile(r"<((?:https?|mailto):[^|>]+)(?:\|[^>]*)?>")


class Slack(Channel):
    traits = Traits(
        name="slack",
        push="yes: where the user wrote last, and into the same thread when `use_threads` is on",
        hears=("image", "file", "audio", "video", "pressed button", "edited message", "deleted message"),
        shows=("image", "file", "audio", "video", "buttons", "cards"),
        speaker="name and picture, with the scope `chat:write.customize`; else in a notice",
        longest_text=LONGEST_TEXT,
        needs=(
            "The bot token's scope `chat:write`, and `chat:write.customize` for the agents' names.",
            "The scope `files:read`, for agents to open what users attach, and for what they say behind a file of "
            "theirs to come behind it.",
            "The scope `files:write`, for files of agents to be uploaded: without it they come as links.",
        ),
        limits=(
            "In a channel, a reply without a mention of the bot reaches the agent only with "
            "`conversation_granularity: thread` and in that thread: elsewhere it is meant for others.",
            "Slack has no typing indicator for bots.",
        ),
        sources=(
            "https://docs.slack.dev/reference/methods/chat.postMessage",
            "https://docs.slack.dev/reference/block-kit/blocks/rich-text-block",
            "https://docs.slack.dev/reference/events/message/file_share",
            "https://docs.slack.dev/reference/events/message/message_deleted",
            "https://docs.slack.dev/reference/interaction-payloads/block_actions-payload",
            "https://docs.slack.dev/reference/objects/file-object",
            "https://docs.slack.dev/messaging/working-with-files",
        ),
    )

    def __init__(self, rasa: Any, around: Around) -> None:
        super().__init__(rasa, around)
        self._named_from = 0.0  #: when agents write under their own names, after Slack has said that it may not be
        self.uploads = Uploads(self._client, around)

    async def close(self) -> None:
        await self.uploads.close()
        await super().close()

    # -- what users say -----------------------------------------------------------------------

    def address(self, message: UserMessage, request: Request | None) -> Json | None:
        output = message.output_channel
        if not isinstance(output, SlackBot) or not output.slack_channel:
            return None
        return {"channel": output.slack_channel, "thread": output.thread_id}

    def heard(self, request: Request) -> Sequence[Heard]:
        kind = request.headers.get("content-type")
        if kind == "application/x-www-form-urlencoded":
            return tuple(self._pressed(json.loads(request.form["payload"][0])))
        if kind == "application/json":
            return tuple(self._said(request.json, self._is_ignored_repeat(request)))
        return ()

    def _said(self, output: Json, ignored: bool) -> Iterator[Heard]:
        event = output.get("event") or {}
        if event.get("subtype") == "message_changed":
            yield from self._edited(output, event)
            return
        if event.get("subtype") == "message_deleted":
            yield from self._deleted(event)
            return
        if event.get("type") not in ("message", "app_mention") or event.get("bot_id") or not event.get("user"):
            return
        told = self.rasa._is_user_message(output) and self._is_for_bot(output, event)
        if (told and ignored) or not (told or self._is_for_agent(output, event)):
            return
        bots = _bots(output)
        yield Heard(
            sender_id=self._sender(event["user"], event["channel"], event.get("thread_ts") or event.get("ts")),
            id=f"{event['channel']}:{event['ts']}",
            text=_readable(self.rasa._sanitize_user_message(event.get("text") or "", bots)),
            attachments=tuple(_files(event.get("files") or ())),
            dropped=not told,
            unsaid=event.get("subtype") not in _SAID_BY_USERS,
        )

    def _edited(self, output: Json, event: Json) -> Iterator[Heard]:
        """What a user has changed, which Rasa's channel tells nothing of; Slack itself adds to messages, too.

        https://docs.slack.dev/reference/events/message/message_changed
        """
        message, channel = event.get("message") or {}, event["channel"]
        changed, thread = message.get("edited") or {}, message.get("thread_ts")
        if not changed or changed.get("user") != message.get("user") or message.get("bot_id"):
            return
        text, bots = message.get("text") or "", _bots(output)
        in_thread = self.rasa.conversation_granularity == "thread" and bool(thread)
        if self._is_for_bot(output, event) or in_thread or _mentions(text, bots):
            yield Heard(
                sender_id=self._sender(message["user"], channel, thread or message["ts"]),
                id=f"{channel}:{message['ts']}:{changed['ts']}",
                edits=f"{channel}:{message['ts']}",
                text=_readable(self.rasa._sanitize_user_message(text, bots)),
                attachments=tuple(_files(message.get("files") or ())),
                dropped=True,
            )

    def _deleted(self, event: Json) -> Iterator[Heard]:
        """https://docs.slack.dev/reference/events/message/message_deleted"""
        message, channel, gone = event.get("previous_message") or {}, event["channel"], event["deleted_ts"]
        if message.get("user") and not message.get("bot_id"):
            yield Heard(
                sender_id=self._sender(message["user"], channel, message.get("thread_ts") or gone),
                id=f"{channel}:{gone}:{event['ts']}",
                deletes=f"{channel}:{gone}",
                dropped=True,
            )

    def _is_for_bot(self, output: Json, event: Json) -> bool:
        return bool(self.rasa._is_supported_channel(output, {"out_channel": event.get("channel")}))

    def _is_for_agent(self, output: Json, event: Json) -> bool:
        """Whether what the bot is not told of is meant for the agent all the same."""
        if event.get("subtype") not in _SAID_BY_USERS:
            return False
        if self._is_for_bot(output, event):
            return bool(event.get("files"))
        # In a thread that is a conversation of its own. What mentions the bot comes a second time, as a mention.
        in_thread = self.rasa.conversation_granularity == "thread" and bool(event.get("thread_ts"))
        return in_thread and not _mentions(event.get("text") or "", _bots(output))

    def _is_ignored_repeat(self, request: Request) -> bool:
        """Whether Rasa's channel ignores *request* because Slack has sent it before."""
        headers = request.headers
        reason = headers.get(self.rasa.retry_reason_header)
        return bool(headers.get(self.rasa.retry_num_header)) and reason in self.rasa.errors_ignore_retry

    def _pressed(self, payload: Json) -> Iterator[Heard]:
        if not self.rasa._is_interactive_message(payload):
            return
        action, channel, message = payload["actions"][0], payload["channel"]["id"], payload.get("message") or {}
        value = self.rasa._get_interactive_response(action)
        if value is not None:
            yield Heard(
                sender_id=self._sender(payload["user"]["id"], channel, message.get("thread_ts") or message.get("ts")),
                id=f"{channel}:{action['action_ts']}" if action.get("action_ts") else None,
                button=Button(title=_title(action), payload=value),
            )

    def _sender(self, user: str, channel: str, thread: str | None) -> str:
        return str(self.rasa._get_conversation_id(user, channel, thread))

    @asynccontextmanager
    async def open(self, reference: Json) -> AsyncIterator[File]:
        url = reference["url"] if "url" in reference else await self._found(reference["id"])
        require_host(url, *_HOSTS)
        token, proxy = bearer(self.rasa.slack_token), self.rasa.proxy
        async with self.fetcher.open(url, self.around.largest_file, token, proxy=proxy) as file:
            if file.mime == "text/html" != reference.get("mime"):
                raise FetchError("it is Slack's sign-in page: the bot token lacks the scope files:read")
            yield file

    async def _found(self, file_id: str) -> str:
        """Where a file of another organisation is: https://docs.slack.dev/reference/events/message/file_share."""
        try:
            answer = await self._client().files_info(file=file_id)
        except (SlackApiError, *NO_ANSWER) as error:
            raise FetchError("its place cannot be found out from Slack") from error
        file = answer.get("file") or {}
        return str(file.get("url_private_download") or file.get("url_private") or "")

    def trusted(self) -> Collection[str]:
        return (f"{_FILES}:443", *([host_of(self.rasa.proxy)] if self.rasa.proxy else ()))

    # -- what they get ------------------------------------------------------------------------

    def output(self, to: To) -> OutputChannel:
        where = to.address or {}
        output: OutputChannel = self.rasa.get_output_channel(where.get("channel"), where.get("thread"))
        return output

    def parts(self, message: Message) -> Sequence[Post]:
        return posts(message)

    async def put(self, to: To, part: Post) -> None:
        if self.around.now() < self._named_from:
            part = part.without(*SPEAKER)
        if part.file is None or "blocks" in part.body or not await self._share(to, part):
            await self._post(to, part)

    async def _post(self, to: To, part: Post) -> None:
        where = to.address or {}
        place: Json = {"channel": where.get("channel") or to.sender_id, "thread_ts": where.get("thread")}
        try:
            await self._client().chat_postMessage(**place, **part.body)
        except SlackApiError as error:
            await self._put_less(to, part, error)
        except NO_ANSWER as error:
            raise no_answer(error) from error

    async def _put_less(self, to: To, part: Post, error: SlackApiError) -> None:
        """Slack said no: without what it does not take, it may say yes."""
        code = code_of(error)
        if code == MISSING_SCOPE and part.speaker:
            self._named_from = self.around.now() + ANEW
            await self.put(to, part)
        elif code in _BAD_BLOCKS and "blocks" in part.body:
            await self.put(to, part.without("blocks"))
        else:
            raise meaning(error) from error

    async def _share(self, to: To, part: Post) -> bool:
        """Upload a file; False where it has to come as a link."""
        where = to.address or {}
        if part.file is None or not where.get("channel"):
            return False
        place = {"channel_id": where["channel"], **({"thread_ts": where["thread"]} if where.get("thread") else {})}
        return await self.uploads.share(part.file, place, part.speaker, f"{to.delivery_id}:{part.number}")

    def _client(self) -> AsyncWebClient:
        """Rasa's own, with its token and proxy; it keeps no connection."""
        client: AsyncWebClient = self.rasa.get_output_channel().client
        return client


# Slack's words


def _bots(output: Json) -> list[str]:
    """The bot's own user ids, as Rasa's channel finds them."""
    if "authed_users" in output:
        return list(output["authed_users"] or ())
    return [each["user_id"] for each in (output.get("authorizations") or ())[:1]]


def _mentions(text: str, users: Sequence[str]) -> bool:
    return any(f"<@{user}>" in text for user in users)


def _files(files: Sequence[Json]) -> Iterator[Attachment | ChannelFile]:
    for file in files:
        kind, name, mime = kind_of(file.get("mimetype")), file.get("name"), file.get("mimetype")
        url = file.get("url_private_download") or file.get("url_private")
        if file.get("is_external") and url:  # Slack has the link only
            yield Attachment(url=url, kind=kind, name=name, mime=mime)
        elif url:
            yield ChannelFile(reference={"url": url, "mime": mime}, kind=kind, name=name, mime=mime)
        elif file.get("file_access") == "check_file_info":
            yield ChannelFile(reference={"id": file["id"]}, kind=kind, name=name, mime=mime)


def _title(action: Json) -> str:
    chosen = action.get("selected_option") or (action.get("selected_options") or [{}])[0]
    text = chosen.get("text") or action.get("text") or {}
    return str(text.get("text", "") if isinstance(text, dict) else text)


def _readable(text: str) -> str:
    """What a user wrote, without Slack's escapes: https://docs.slack.dev/messaging/formatting-message-text."""
    text = _LINK.sub(r"\1", text)
    for character, escaped in reversed(ESCAPED):
        text = text.replace(escaped, character)
    return text
