"""What we say to LivePerson: the bodies of the Connector API, one function each.

https://developers.liveperson.com/connector-api-send-api-overview.html (read 2026-11)
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rasa_handoff.backends import sources
from rasa_handoff.backends.liveperson.settings import SURVEYS, URGENCIES, LivePersonSettings
from rasa_handoff.model import Json, Line, Request
from rasa_handoff.pieces import pieces

LONGEST_TEXT = 4000  #: characters of one message; theirs is not documented
_LARGEST_PREVIEW = 30 * 1024  #: bytes, as they have it

# The two requests that open a conversation, in the only order that is taken.
PROFILE_ID, CONVERSATION_ID = "1,", "2,"


# Opening


def conversation(settings: LivePersonSettings, request: Request) -> list[Json]:
    """A conversation to be opened: who the user is, then where it goes."""
    return [
        _request(PROFILE_ID, "userprofile.SetUserProfile", profile(settings, request)),
        _request(CONVERSATION_ID, "cm.ConsumerRequestConversation", _wanted(settings, request)),
    ]


def profile(settings: LivePersonSettings, request: Request) -> Json:
    """What agents see of the user; empty where nothing is known.

    https://developers.liveperson.com/engagement-attributes-types.html (read 2026-11)
    """
    customer = _known(settings.customer_info, request)
    personal = _known(settings.personal_info, request)
    if "contacts" in personal:  # the only one of theirs that is a list
        personal["contacts"] = [personal["contacts"]]
    attributes: list[Json] = []
    if customer:
        attributes.append({"type": "ctmrinfo", "info": customer})
    if personal:
        attributes.append({"type": "personal", "personal": personal})
    return {"authenticatedData": {"lp_sdes": attributes}} if attributes else {}


def _wanted(settings: LivePersonSettings, request: Request) -> Json:
    priority = (request.priority or "").upper()
    wanted: Json = {
        "ttrDefName": priority if priority in URGENCIES else settings.urgency,
        "channelType": "MESSAGING",
        "brandId": settings.account,
        "skillId": request.group or settings.skill,
    }
    if settings.campaign is not None:
        wanted["campaignInfo"] = {
            "campaignId": settings.campaign.campaign_id,
            "engagementId": settings.campaign.engagement_id,
        }
    context = _known(settings.context, request)
    if context:
        wanted["conversationContext"] = {**context, "type": "SharkContext"}
    return wanted


def _known(wanted: Mapping[str, str], request: Request) -> Json:
    """The values that are known, each at its place: a dot leads inwards."""
    found: Json = {}
    for name, source in wanted.items():
        value = sources.value(source, request)
        if value is None or value == "":
            continue
        *outer, last = name.split(".")
        inside = found
        for each in outer:
            inside = inside.setdefault(each, {})
        inside[last] = value
    return found


def client_properties(settings: LivePersonSettings) -> dict[str, str]:
    """The header that says what the user's side can show."""
    features = [*settings.features, *([SURVEYS] if settings.survey else [])]
    if not features:
        return {}
    return {"Client-Properties": json.dumps({"type": ".ClientProperties", "features": features})}


# Who said what, as agents read it.
_SPEAKERS = {"user": "User", "bot": "Bot", "agent": "Agent", "system": "System"}


def transcript(heading: str, lines: Sequence[Line]) -> list[str]:
    """What user and bot said, as few messages as possible."""
    if not lines:
        return []
    said = "\n".join(f"{_SPEAKERS[line.who]}: {line.text}" for line in lines)
    return pieces(f"{heading}\n{said}" if heading else said, LONGEST_TEXT)


# In a conversation


def text(dialog: str, message_id: str, said: str) -> Json:
    """A message of the user."""
    return _publish(message_id, dialog, {"type": "ContentEvent", "contentType": "text/plain", "message": said})


def file(dialog: str, message_id: str, path: str, kind: str, body: bytes, caption: str = "") -> Json:
    """A picture of the user, which has been put at *path*; *kind* is ``JPG``, ``PNG`` or ``GIF``."""
    what: Json = {"relativePath": path, "fileType": kind}
    if caption:
        what["caption"] = caption
    shown = f"data:image/{_MIMES[kind]};base64,{base64.b64encode(body).decode()}"
    if len(shown) < _LARGEST_PREVIEW:  # a small picture is its own preview
        what["preview"] = shown
    return _publish(message_id, dialog, {"type": "ContentEvent", "contentType": "hosted/file", "message": what})


_MIMES = {"JPG": "jpeg", "PNG": "png", "GIF": "gif"}


def chat_state(dialog: str, state: str) -> Json:
    """``ACTIVE``, ``INACTIVE``, ``GONE``, ``COMPOSING`` or ``PAUSE``."""
    return _publish("state", dialog, {"type": "ChatStateEvent", "chatState": state})


def accept_status(dialog: str, sequence: int, status: str) -> Json:
    """What became of a message of an agent: ``ACCEPT``, ``READ`` or ``NACK``."""
    event = {"type": "AcceptStatusEvent", "status": status, "sequenceList": [sequence]}
    return _publish(f"{status} {sequence}", dialog, event)


def close(conversation_id: str) -> Json:
    """The whole conversation is over."""
    return _update("close", conversation_id, {"field": "ConversationStateField", "conversationState": "CLOSE"})


def rating(conversation_id: str, stars: int, resolved: bool | None) -> Json:
    """How content the user is, 1 to 5, and whether their question was settled."""
    field: Json = {"field": "CSATRate", "csatRate": stars, "status": "FILLED"}
    if resolved is None:
        field["status"] = "PARTIALLY_FILLED"
    else:
        field["csatResolutionConfirmation"] = resolved
    return _update("csat", conversation_id, field)


def upload_url(size: int, kind: str) -> Json:
    return _request("upload", "ms.GenerateURLForUploadFile", {"fileSize": str(size), "fileType": kind})


def download_url(path: str) -> Json:
    return _request("download", "ms.GenerateURLForDownloadFile", {"relativePath": path})


def _publish(name: str, dialog: str, event: Json) -> Json:
    return _request(name, "ms.PublishEvent", {"dialogId": dialog, "event": event})


def _update(name: str, conversation_id: str, field: Json) -> Json:
    body = {"conversationId": conversation_id, "conversationField": field}
    return _request(name, "cm.UpdateConversationField", body)


def _request(name: str, kind: str, body: Any) -> Json:
    return {"kind": "req", "id": name, "type": kind, "body": body}
