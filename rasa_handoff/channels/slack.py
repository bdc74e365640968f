"""Slack: direct messages, channels and threads.

Rasa's channel tells the bot of direct messages, of mentions, and of everything in its ``slack_channel``, where
there is a text. It tells it nothing of files without a text, and of a text it loses the files.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from rasa.core.channels.channel import OutputChannel, UserMessage
from rasa.core.channels.slack import SlackBot
from sanic.request import Request
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from rasa_handoff.backends.http import retry_after
from rasa_handoff.channels.base import Around, Channel, ChannelFile, Heard, To, Traits
from rasa_handoff.channels.service import bearer, kind_of, require_host, texts
from rasa_handoff.errors import FetchError, TemporaryError, UserUnreachable
from rasa_handoff.fetch import File, host_of
from rasa_handoff.model import Attachment, Button, Card, Json, Message

_LONGEST_TEXT = 3000  #: characters of a section, https://docs.slack.dev/reference/block-kit/blocks/section-block
_LONGEST_TITLE = 75  #: of a button, https://docs.slack.dev/reference/block-kit/block-elements/button-element
_BUTTONS = 25  #: https://docs.slack.dev/reference/block-kit/blocks/actions-block
_FILES = "files.slack.com"
_HOSTS = (".slack.com", ".slack-gov.com")  #: that get the bot's token

# What Slack says when it is its own trouble: https://docs.slack.dev/reference/methods/chat.postMessage#errors
_AGAIN = {"fatal_error", "internal_error", "ratelimited", "rate_limited", "request_timeout", "service_unavailable"}
_BAD_BLOCKS = {"invalid_blocks", "invalid_blocks_format", "invalid_attachments"}  # e.g. an image it cannot load
_SPEAKER = ("username", "icon_url")
_SAID_BY_USERS = {None, "file_share", "thread_broadcast", "me_message"}  #: subtypes of a message
_LINK = re.compile(r"<((?:https?|mailto):[^|>]+)(?:\|[^>]*)?>")
_ESCAPED = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))


class Slack(Channel):
    traits = Traits(
        name="slack",
        push="yes: where the user wrote last, and into the same thread when `use_threads` is on",
        hears=("image", "file", "audio", "video", "pressed button"),
        shows=("image", "links to files", "buttons", "cards"),
        speaker="name and picture, with the scope `chat:write.customize`; else in a notice",
        longest_text=_LONGEST_TEXT,
        needs=(
            "The bot token's scope `chat:write`, and `chat:write.customize` for the agents' names.",
            "The scope `files:read`, for agents to open what users attach.",
        ),
        limits=(
            "In a channel, a reply without a mention of the bot reaches the agent only with "
            "`conversation_granularity: thread` and in that thread: elsewhere it is meant for others.",
            "Slack has no typing indicator for bots.",
        ),
        sources=(
            "https://docs.slack.dev/reference/methods/chat.postMessage",
            "https://docs.slack.dev/reference/events/message/file_share",
            "https://docs.slack.dev/reference/interaction-payloads/block_actions-payload",
            "https://docs.slack.dev/reference/objects/file-object",
        ),
    )

    def __init__(self, rasa: Any, around: Around) -> None:
        super().__init__(rasa, around)
        self._named = True  #: agents write under their own names, until Slack says that the scope is missing

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

    def _is_for_bot(self, output: Json, event: Json) -> bool:
        return bool(self.rasa._is_supported_channel(output, {"out_channel": event.get("channel")}))

    def _is_for_agent(self, output: Json, event: Json) -> bool:
        """Whether what the bot is not told of is meant for the agent all the same."""
        if event.get("subtype") not in _SAID_BY_USERS:
            return False
        if self._is_for_bot(output, event):
            return bool(event.get("files"))
        # In a thread that is a conversation of its own. What mentions the bot comes a second time, as a mention.
        mentioned = any(f"<@{bot}>" in (event.get("text") or "") for bot in _bots(output))
        in_thread = self.rasa.conversation_granularity == "thread" and bool(event.get("thread_ts"))
        return in_thread and not mentioned

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
        except (SlackClientError, aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
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

    def parts(self, message: Message) -> Sequence[Json]:
        speaker = {"username": message.name, "icon_url": message.avatar_url} if message.who == "agent" else {}
        speaker = {name: value for name, value in speaker.items() if value}
        return [{**each, **speaker} for each in _bodies(message)]

    async def put(self, to: To, part: Json) -> None:
        if not self._named:
            part = {name: value for name, value in part.items() if name not in _SPEAKER}
        where = to.address or {}
        place: Json = {"channel": where.get("channel") or to.sender_id, "thread_ts": where.get("thread")}
        try:
            await self._client().chat_postMessage(**place, **part)
        except SlackApiError as error:
            await self._put_less(to, part, error)
        except (SlackClientError, aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise TemporaryError("slack", "send a message", detail=type(error).__name__) from error

    async def _put_less(self, to: To, part: Json, error: SlackApiError) -> None:
        """Slack said no: without what it does not take, it may say yes."""
        code = _code(error)
        if code == "missing_scope" and any(name in part for name in _SPEAKER):
            self._named = False
            await self.put(to, part)
        elif code in _BAD_BLOCKS and "blocks" in part:
            await self.put(to, {name: value for name, value in part.items() if name != "blocks"})
        else:
            raise _meaning(error, code) from error

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
    for character, escaped in reversed(_ESCAPED):
        text = text.replace(escaped, character)
    return text


def _escaped(text: str) -> str:
    for character, escaped in _ESCAPED:
        text = text.replace(character, escaped)
    return text


def _said(text: str) -> list[str]:
    return [_escaped(each) for each in texts(text, _LONGEST_TEXT, lambda character: len(_escaped(character)))]


def _bodies(message: Message) -> Iterator[Json]:
    said = _said(message.text)
    for text in said[:-1] if message.buttons else said:
        yield {"text": text}
    if message.buttons:
        text = said[-1] if said else ""
        yield {"text": text or _titles(message.buttons), "blocks": [*_section(text), *_actions(message.buttons)]}
    for attachment in message.attachments:
        yield _attachment(attachment)
    for card in message.cards:
        yield _card(card)


def _attachment(attachment: Attachment) -> Json:
    link = f"<{_escaped(attachment.url)}|{_escaped(attachment.name)}>" if attachment.name else attachment.url
    if attachment.kind != "image":
        return {"text": link}
    return {"text": link, "blocks": [_image(attachment.url, attachment.name)]}


def _image(url: str, name: str | None) -> Json:
    return {"type": "image", "image_url": url, "alt_text": name or "image"}


def _card(card: Card) -> Json:
    title = f"*{_escaped(card.title)}*"
    linked = f"<{card.url}|{title}>" if card.url else title
    text = "\n".join([linked, *_said(card.text)[:1]])
    images = [_image(card.image_url, card.title)] if card.image_url else []
    return {"text": text, "blocks": [*_section(text), *images, *_actions(card.buttons)]}


def _section(text: str) -> list[Json]:
    return [{"type": "section", "text": {"type": "mrkdwn", "text": text}}] if text else []


def _actions(buttons: Sequence[Button]) -> list[Json]:
    rows = [buttons[start : start + _BUTTONS] for start in range(0, len(buttons), _BUTTONS)]
    return [{"type": "actions", "elements": [_button(each) for each in row]} for row in rows]


def _button(button: Button) -> Json:
    title = {"type": "plain_text", "text": button.title[:_LONGEST_TITLE]}
    target = {"url": button.url} if button.url else {"value": button.payload}
    return {"type": "button", "text": title, **target}


def _titles(buttons: Sequence[Button]) -> str:
    return " / ".join(_escaped(each.title) for each in buttons)


# What it says when it does not take a message


def _code(error: SlackApiError) -> str:
    data = getattr(error.response, "data", None)
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def _meaning(error: SlackApiError, code: str) -> TemporaryError | UserUnreachable:
    """The error that says whether to try again."""
    response = error.response
    status = getattr(response, "status_code", None) or getattr(response, "status", None)
    if status == 429 or code in _AGAIN or not code:
        wait = retry_after(getattr(response, "headers", {}))
        return TemporaryError("slack", "send a message", status, code, retry_after=wait)
    needed = f" (the bot token needs the scope {response['needed']})" if code == "missing_scope" else ""
    return UserUnreachable(f"slack: could not send a message: {code}{needed}")
