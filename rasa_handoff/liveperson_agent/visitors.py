"""Who the visitor of a chat is: what LivePerson knows of them, for the bot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from rasa_handoff.errors import BackendError
from rasa_handoff.liveperson_agent import profiles, reading
from rasa_handoff.liveperson_agent.session import Session
from rasa_handoff.model import Json

log = logging.getLogger(__name__)

_PATIENCE = 5.0  #: seconds for all of it: the visitor waits
_SURVEYS = 3  #: links that are followed

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """One visitor, as far as anything is known."""

    chat: str  #: the chat's id
    visitor: dict[str, str] = field(default_factory=dict)  #: name, id, ip, os, device, browser, country, …
    survey: dict[str, str] = field(default_factory=dict)  #: the pre-chat survey's answers, by question
    authenticated: Json = field(default_factory=dict)  #: what a signed-in visitor is known by
    more: dict[str, str] = field(default_factory=dict)  #: of the chat: skill, campaign, start

    def as_json(self) -> Json:
        """What the bot finds in the metadata of every line."""
        return {
            "chat": {"id": self.chat, **self.more},
            "visitor": self.visitor,
            "survey": self.survey,
            "authenticated": self.authenticated,
        }


def value_at(known: Json, path: str) -> Any:
    """The value at e.g. ``survey.What is it about``: behind the first dot everything is one name."""
    root, _, name = path.partition(".")
    section = known.get(root)
    return section.get(name) if isinstance(section, dict) else None


_OF_CHAT = {
    "skill_id": "skillId",
    "skill": "skillName",
    "campaign_id": "campaignId",
    "engagement_id": "engagementId",
    "started": "startTime",
}


async def look_up(session: Session, chat_id: str, document: reading.Chat, visit_information: bool) -> Visitor:
    """All that can be found out in a few seconds; what cannot is left out."""
    known = profiles.read_visitor(document.info)
    more = {ours: reading.word(document.info.get(theirs)) for ours, theirs in _OF_CHAT.items()}
    found, (from_chat, survey), authenticated = await asyncio.gather(
        _soon(_visit(session, known if visit_information else {}), {}),
        _soon(_visit_of_chat(session, document.links.get("visit-id")), ({}, {})),
        _soon(_participant(session, known.get("participant")), {}),
    )
    return Visitor(
        chat=chat_id,
        visitor={**from_chat, **found, **known},
        survey=survey,
        authenticated=authenticated,
        more={name: value for name, value in more.items() if value},
    )


async def _soon(asking: Awaitable[T], instead: T) -> T:
    try:
        return await asyncio.wait_for(asking, _PATIENCE)
    except (BackendError, asyncio.TimeoutError) as error:
        log.info("liveperson_agent.not_known %s", error or "no answer in time")
        return instead


async def _visit(session: Session, known: dict[str, str]) -> dict[str, str]:
    """From the Visit Information API, which knows visitors of monitored pages."""
    if "id" not in known or "session" not in known:
        return {}
    return profiles.read_visit(await session.visit(known["id"], known["session"]))


async def _visit_of_chat(session: Session, address: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """What the chat's own link to the visit, and the links to surveys in there, have: the visit, the survey."""
    if address is None:
        return {}, {}
    document = await session.ask("look at the visit", "GET", address)
    survey = profiles.surveys_in(document)
    for link in profiles.survey_links(document)[:_SURVEYS]:
        survey.update(profiles.read_survey(await session.ask("look at the survey", "GET", link)))
    return profiles.read_visit(document), survey


async def _participant(session: Session, participant: str | None) -> Json:
    if participant is None:
        return {}
    where = f"/participantExtendedInfo/{quote(participant, safe='')}"
    return await session.ask_for("look at the participant", where, profiles.read_participant)
