"""The bot's channels: how agents reach the users of each, and what gets through."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasa_handoff.credentials import SECTION
from rasa_handoff.doctor.case import Case
from rasa_handoff.doctor.findings import Finding, fine, problem, warning
from rasa_handoff.liveperson_agent import settings as liveperson_agent

if TYPE_CHECKING:
    from rasa_handoff.channels.base import Channel, Traits

_ELSEWHERE = "Where users are to hear at once, let them write by the plugin's own channel, or by socketio."
_NOWHERE = "sqlite:///nowhere.db"  #: a channel is only looked at: its store is never opened


def look(case: Case) -> Iterator[Finding]:
    if case.version_of("rasa") is None and case.version_of("rasa-pro") is None:
        return
    with _importable(case.project.places.folder):
        for name, section in case.channels.items():
            yield from _channel(case, name, section if isinstance(section, dict) else {})


def _channel(case: Case, name: str, section: Mapping[str, Any]) -> Iterator[Finding]:
    # Rasa's channels take a second to load; these two are the plugin's own, and would load all of Rasa.
    if name == liveperson_agent.CHANNEL:
        yield fine(name, f"{name}: a handoff transfers its chats to people, who have them for good")
        return
    if name == SECTION:
        yield _ours(name)
        return
    from rasa_handoff import channels

    try:
        found = channels.class_named(name)
        kind, traits = channels.kind_of(found), channels.traits_of(found)
        made = _made(case, kind, found, section)
        troubles = made.troubles() if made else ()
    except Exception as error:  # a bot's own module may raise anything
        what = " ".join(f"{type(error).__name__}: {error}".split())
        yield problem(name, f"{name} cannot be loaded: {what}", "Mend it in credentials.yml; Rasa does not start else.")
        return
    # What does not work reaches nobody: only the one is said.
    if not troubles or not (made or traits).pushes:
        yield _described(name, traits, made or traits)
    for trouble in troubles:
        yield problem(name, f"{name} does not work as it is set up.", f"{trouble[0].upper()}{trouble[1:]}.")
    yield from _files(case, name, kind)


def _ours(name: str) -> Finding:
    from rasa_handoff.channels.stream import Stream

    return _described(name, Stream.traits, Stream.traits)


def _made(case: Case, kind: type[Channel], rasa_class: Any, section: Mapping[str, Any]) -> Channel | None:
    """A channel, made from its settings.

    It is only where somebody looks at it, or where there are none, which Rasa itself may mind: one of Rasa's channels
    asks its service for something while it is made.
    """
    from rasa_handoff.channels.base import Around, Channel
    from rasa_handoff.store import Store

    if section and kind.troubles is Channel.troubles:
        return None
    made = rasa_class.from_credentials(dict(section) or None)
    ours = case.settings.channels.get(kind.traits.name) if case.settings else None
    return kind(made, Around(store=Store(_NOWHERE), now=time.time, settings=ours))


def _described(name: str, traits: Traits, here: Traits | Channel) -> Finding:
    """What people want to know of it; where it could reach users and is not set up to, its first need says how.

    Args:
        here: what of it depends on how it is set up.
    """
    how = traits.push.partition(": ")[2]
    limits = [f"limit: {each}" for each in traits.limits]
    facts = [
        f"from users: text{_also(traits.hears)}",
        f"from agents: text{_also(traits.shows)}",
        *(f"needs: {each}" for each in here.needs),
    ]
    if here.pushes:
        return fine(name, f"{name}: agents reach users who do not write{_how(how)}", [*facts, *limits])
    remedy = next(iter(traits.needs if traits.pushes else traits.limits), _ELSEWHERE)
    return warning(
        name,
        f"{name}: agents do not reach users who do not write{_how(how)}",
        remedy,
        details=[each for each in (*facts, *limits) if remedy not in each],
    )


def _how(how: str) -> str:
    return f"; {how}" if how else ""


def _also(kinds: tuple[str, ...]) -> str:
    return "".join(f", {kind}" for kind in kinds) or " only"


def _files(case: Case, name: str, kind: type[Channel]) -> Iterator[Finding]:
    """Files that need the channel's credentials go to agents through a link of ours, which has to lead to us."""
    from rasa_handoff.channels.base import Channel
    from rasa_handoff.channels.stream import Stream

    # Of files that we keep ourselves the plugin's own entry says so.
    if kind.open not in (Channel.open, Stream.open) and case.settings is not None and case.settings.public_url is None:
        yield warning(
            name,
            f"{name}: agent systems elsewhere cannot open the files that users send, for there is no public_url.",
            f"Add below {SECTION}:",
            ["public_url: https://bot.example.com"],
        )


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Find a bot's own channels in its folder, as `rasa run` does; what Rasa warns of while it loads is left out."""
    sys.path.insert(0, str(folder))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.path.remove(str(folder))
