"""Writes docs/channels.md from what the code knows of each channel."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Rasa's
    from rasa.core.channels import BUILTIN_CHANNELS

    from rasa_handoff import channels
    from rasa_handoff.channels.base import Traits
    from rasa_handoff.channels.own import Own
    from rasa_handoff.channels.stream import Stream

PAGE = Path(__file__).resolve().parent.parent / "docs" / "channels.md"
NOT_FOR_USERS = {"cmdline"}  # `rasa shell`

INTRODUCTION = """\
# Channels

What users and agents can do on each channel while a person has the conversation. `rasa-handoff doctor` says it of the
channels that your bot has, and what their settings lack.

Each was checked with Rasa's own channel and a server in the service's place, after the pages that are named as its
sources ([tests/channels](../tests/channels)); not with accounts at the services.

<!-- Written by `make docs` from rasa_handoff/channels; a test holds it to the code. -->
"""
HEADS = ("channel", "agents reach users who do not write", "from users, beside text", "from agents, beside text")


def page() -> str:
    """The page as the code is."""
    known = sorted(_known(), key=lambda traits: traits.name.startswith("("))
    parts = [INTRODUCTION, _table(known), *(_chapter(traits) for traits in known)]
    return "\n".join(part for part in parts if part)


def _known() -> Iterator[Traits]:
    """The plugin's own channel, those that come with Rasa, and a bot's own."""
    yield Stream.traits
    for name, rasa_class in sorted(BUILTIN_CHANNELS.items()):
        if name not in NOT_FOR_USERS:
            yield channels.traits_of(rasa_class)
    yield Own.traits


def _table(known: list[Traits]) -> str:
    rows = [HEADS, ("---",) * len(HEADS), *(_row(traits) for traits in known)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(traits: Traits) -> tuple[str, ...]:
    return (
        f"**{traits.name}**",
        traits.push.replace("|", "\\|"),
        ", ".join(traits.hears) or "–",
        ", ".join(traits.shows) or "–",
    )


def _chapter(traits: Traits) -> str:
    facts = [f"Who speaks is shown {_placed(traits.speaker)}."]
    if traits.typing:
        where = f" {traits.typing}" if isinstance(traits.typing, str) else ""
        facts.append(f"Users see that the agent is typing{where}.")
    if traits.longest_text:
        facts.append(f"Texts of more than {traits.longest_text:,} characters come in pieces.")
    points = [*(f"Needs: {each}" for each in traits.needs), *(f"Limit: {each}" for each in traits.limits)]
    points += [f"Source: <{each}>" for each in traits.sources]
    listed = "\n" + "".join(f"- {each}\n" for each in points) if points else ""
    return f"## {traits.name}\n\n{' '.join(facts)}\n{listed}"


def _placed(speaker: str) -> str:
    return speaker if speaker.startswith("in ") else f"by {speaker}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
