"""What LivePerson is told when a chat is asked for: the request, its lines for agents, the survey's answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from rasa_handoff.backends import sources
from rasa_handoff.backends.liveperson_chat.reading import many
from rasa_handoff.backends.liveperson_chat.settings import (
    REQUEST_FIELDS,
    LivePersonChatSettings,
    Speakers,
    read_max_wait,
)
from rasa_handoff.model import Json, Line, Request

log = logging.getLogger(__name__)


def chat_request(settings: LivePersonChatSettings, request: Request, survey: Json | None) -> Json:
    """The body that asks for a chat.

    https://developers.liveperson.com/server-chat-api-start-chat.html (read 2026-11)

    Args:
        survey: as `survey_answers` gives it.
    """
    lines = [*detail_lines(settings, request), *transcript_lines(request, settings.speakers)]
    known: Json = {
        **routing(settings, request),
        **_fields(settings, request),
        "preChatLines": {"line": lines} if lines else None,
        "survey": survey,
    }
    return {"request": {name: value for name, value in known.items() if value is not None}}


def routing(settings: LivePersonChatSettings, request: Request) -> Json:
    """Whom the request is for, and how long it may wait."""
    if settings.max_wait is None:
        return skill_of(settings, request)
    return {**skill_of(settings, request), "maxWaitTime": int(read_max_wait(settings.max_wait))}


def skill_of(settings: LivePersonChatSettings, request: Request) -> Json:
    """The skill, if one was asked for."""
    skill = request.group or settings.skill
    return {"skill": skill} if skill else {}


def _fields(settings: LivePersonChatSettings, request: Request) -> Json:
    found = {name: sources.text(source, request) for name, source in settings.request.items()}
    return {name: _as_number(text) if REQUEST_FIELDS[name] else text for name, text in found.items() if text}


def _as_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def detail_lines(settings: LivePersonChatSettings, request: Request) -> list[str]:
    """What the bot's owner chose, else every slot that is set: one line each."""
    if settings.details is None:
        found = dict(request.parameters)
    else:
        found = {name: sources.value(source, request) for name, source in settings.details.items()}
    return [f"{name}: {sources.as_text(value)}" for name, value in found.items() if value is not None]


def transcript_lines(request: Request, speakers: Speakers) -> list[str]:
    """What user and bot said; only agents see it."""
    return [f"{_speaker(line, speakers)}: {line.text}" for line in request.transcript]


def _speaker(line: Line, speakers: Speakers) -> str:
    return speakers.user if line.who == "user" else speakers.bot


# The pre-chat survey


def survey_answers(settings: LivePersonChatSettings, request: Request, survey: Json) -> Json | None:
    """The answers that are known to the questions of *survey*, which is as they send it; None: there are none."""
    answers = list(_answers(settings, request, survey))
    if not answers or survey.get("id") is None:
        return None
    return {"id": str(survey["id"]), "question": answers}


def _answers(settings: LivePersonChatSettings, request: Request, survey: Json) -> Iterator[Json]:
    asked = {name.strip().lower(): source for name, source in settings.survey.items()}
    for question in many(survey.get("questions"), "question"):
        id, label = str(question.get("id", "")), str(question.get("label", ""))
        source = asked.get(id.lower()) or asked.get(label.strip().lower())
        answer = _fitting(question, sources.text(source, request)) if source else None
        if answer:
            yield {"id": id, "answer": answer}
        elif str(question.get("mandatory", "")).lower() == "true":
            # They may refuse the request; the bot's owner has to know why.
            log.warning("liveperson_chat.unanswered question=%s: it is mandatory; see `survey` in the settings", id)


def _fitting(question: Json, answer: str | None) -> str | None:
    """*answer* as the question's entries spell it; None where it has entries and this is none of them."""
    entries = [str(entry.get("value", "")) for entry in many(question, "entry")]
    if answer is None or not entries:
        return answer
    wanted = answer.strip().lower()
    return next((entry for entry in entries if entry.strip().lower() == wanted), None)
