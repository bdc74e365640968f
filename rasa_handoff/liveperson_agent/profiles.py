"""What LivePerson's documents say of a visitor, read into plain facts; pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rasa_handoff.liveperson_agent.reading import attribute, links, several, word
from rasa_handoff.model import Json

_DEEPEST = 12  #: levels of a document that is looked through

# The visitor: ours -> theirs, the first that is there. The names of the visit's own document are not
# documented; the Visit Information API's are:
# https://developers.liveperson.com/visit-information-api-visit-information.html (read 2026-11)
_OF_CHAT = {
    "name": ("visitorName",),
    "id": ("sharkVisitorId", "visitorId"),
    "session": ("sharkSessionId", "rtSessionId"),
    "language": ("language",),
    "participant": ("participantId",),
}
_OF_VISIT = {
    "ip": ("ipv4", "lpv4", "ipAddress", "visitorIp", "ip"),
    "os": ("deviceOS", "operatingSystem", "os"),
    "device": ("deviceFamily", "device"),
    "browser": ("userAgent", "browser"),
    "referrer": ("externalReferrer", "referrer"),
}
_OF_PLACE = {"country": ("country",), "state": ("state",), "city": ("city",)}
_DEFAULT_NAME = "visitor"


def read_visitor(info: Json) -> dict[str, str]:
    """What a chat's info says of the visitor."""
    found = _picked(info, _OF_CHAT)
    if found.get("name", "").casefold() == _DEFAULT_NAME:  # nobody gave one
        del found["name"]
    return found


def read_visit(payload: Mapping[str, Any]) -> dict[str, str]:
    """Device, system, address and place, from a visit; of several sessions, from the last."""
    found = {**_picked(payload, _OF_VISIT), **_picked(payload.get("geo"), _OF_PLACE)}
    inside = [payload.get("visit"), payload.get("info"), *several(payload.get("appSessions"))]
    for node in inside:
        if isinstance(node, Mapping):
            found.update(read_visit(node))
    return found


def _picked(node: Any, names: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    found = {
        ours: next(filter(None, (word(attribute(node, each)) for each in theirs)), "") for ours, theirs in names.items()
    }
    return {name: value for name, value in found.items() if value}


def read_participant(payload: Json) -> Json:
    """What a signed-in visitor is known by: the two sections flat, as far as they are plain values."""
    found: Json = {}
    for name in ("authenticatedParticipantInfo", "authenticatedPersonalInfo"):
        section = payload.get(name)
        if isinstance(section, Mapping):
            found.update({key: value for key, value in section.items() if isinstance(value, (str, int, float, bool))})
            for contact in several(section.get("contacts")):
                if isinstance(contact, Mapping):
                    found.update({key: value for key, value in contact.items() if isinstance(value, str)})
    return found


# The pre-chat survey. No page shows what the document of a visit has of it, so whatever looks like a
# question with an answer is taken for one.
_QUESTION = ("label", "question", "displayName", "name")
_ANSWER = ("answer", "answers", "value", "lastKnownValue")
_PRE_CHAT = re.compile(r"pre-?chat|survey", re.IGNORECASE)
_OTHER_SURVEY = re.compile(r"agent|operator|exit|post|offline", re.IGNORECASE)


def survey_links(payload: Json) -> list[str]:
    """Where the surveys that a visitor filled in before the chat are, in the document of a visit."""
    nodes = [payload, *(value for value in payload.values() if isinstance(value, Mapping))]
    found = [pair for node in nodes for pair in links(node).items()]
    return [href for rel, href in found if _PRE_CHAT.search(rel) and not _OTHER_SURVEY.search(rel)]


def read_survey(payload: Any) -> dict[str, str]:
    """The answers in a survey, by their questions."""
    return dict(_answers(payload, 0))


def surveys_in(payload: Any, depth: int = 0) -> dict[str, str]:
    """The answers in the surveys inside the document of a visit."""
    found: dict[str, str] = {}
    if depth > _DEEPEST or not isinstance(payload, Mapping):
        return found
    for name, value in payload.items():
        if _PRE_CHAT.search(name) and not _OTHER_SURVEY.search(name):
            found.update(read_survey(value))
        else:
            found.update(surveys_in(value, depth + 1))
    return found


def _answers(node: Any, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _DEEPEST:
        return
    if isinstance(node, Mapping):
        question = next(filter(None, (word(attribute(node, name)) for name in _QUESTION)), "")
        answer = next(filter(None, (_answer(attribute(node, name)) for name in _ANSWER)), "")
        if question and answer:
            yield question.rstrip(" :?"), answer
            return
    inside = node.values() if isinstance(node, Mapping) else several(node) if isinstance(node, list) else ()
    for each in inside:
        yield from _answers(each, depth + 1)


def _answer(value: Any) -> str:
    parts = [word(attribute(each, "value")) if isinstance(each, Mapping) else word(each) for each in several(value)]
    return ", ".join(filter(None, parts))
