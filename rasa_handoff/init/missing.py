"""What a bot's files lack for a handoff to work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count

from rasa_handoff.credentials import SECTION
from rasa_handoff.init.pieces import Piece, pieces, template
from rasa_handoff.project import Project
from rasa_handoff.project.actions import HANDOFF
from rasa_handoff.project.shapes import items

ASKED = "handoff_request"  #: the intent of a user who wants a person
CLOSED = "handoff_closed"  #: the intent that the plugin sends when a handoff is over
#: What rules and stories of its owner's say; all the other responses are said by the plugin itself.
_SAID_BY_RULES = "utter_handoff_closed"
_NAMING = "Said by the plugin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What to add, by the place it belongs to; empty where nothing is missing."""

    credentials: Sequence[Piece] = ()
    endpoints: Sequence[Piece] = ()
    policies: Sequence[Piece] = ()
    intents: Sequence[Piece] = ()
    slots: Sequence[Piece] = ()
    actions: Sequence[Piece] = ()
    responses: Sequence[Piece] = ()
    nlu: Sequence[Piece] = ()
    rules: Sequence[Piece] = ()
    served: bool = False  #: the actions, in the action server's code


def look(project: Project, intent: str | None = None) -> Missing:
    """What *project* lacks.

    Args:
        intent: one of the bot's own that means "I want a person", where it has one.
    """
    return Missing(
        credentials=_credentials(project),
        endpoints=_endpoints(project),
        policies=_policies(project),
        intents=_intents(project, intent),
        slots=_absent("slots", project.domain.slots),
        actions=_absent("actions", project.domain.actions),
        responses=_responses(project),
        nlu=_examples(project, intent),
        rules=_rules(project, intent),
        served=not project.actions.serves_ours,
    )


def leads_to_people(project: Project) -> bool:
    """Whether a rule, a story or an action of the bot's own takes its users to a person."""
    return HANDOFF in project.training.actions or project.actions.leads_to_people


def knows_the_end(project: Project) -> bool:
    """Whether a rule or a story says what the bot does when a handoff is over."""
    return bool(project.training.answers_to(CLOSED))


def follows_rules(project: Project) -> bool:
    """Whether the bot has the policy that rules need; Rasa gives it to one that names no policies."""
    policies = items(project.config.mapping.get("policies")) if project.config else []
    return not policies or any(_name(each).rpartition(".")[2] == "RulePolicy" for each in policies)


def _name(component: object) -> str:
    return str(component.get("name")) if isinstance(component, dict) else str(component)


def _credentials(project: Project) -> Sequence[Piece]:
    there = project.credentials is not None and SECTION in project.credentials.mapping
    return () if there else _own("credentials.yml")


def _endpoints(project: Project) -> Sequence[Piece]:
    there = project.endpoints is not None and project.endpoints.mapping.get("action_endpoint")
    return () if there else _own("endpoints.yml")


def _policies(project: Project) -> Sequence[Piece]:
    return () if follows_rules(project) else pieces(template("config.yml"), "policies")


def _own(name: str) -> list[Piece]:
    """All that a file of ours has, as one piece."""
    document = template(name)
    return [Piece(name=next(iter(document.mapping)), lines=tuple(document.text.splitlines()))]


def _absent(section: str, there: object) -> list[Piece]:
    return [piece for piece in pieces(template("domain.yml"), section) if piece.name not in there]  # type: ignore[operator]


def _intents(project: Project, intent: str | None) -> list[Piece]:
    unneeded = leads_to_people(project) or intent is not None
    return [each for each in _absent("intents", project.domain.intents) if each.name != ASKED or not unneeded]


def _responses(project: Project) -> list[Piece]:
    """Those that nobody wrote; the last words are a rule's, which may have others."""
    absent = _absent("responses", project.domain.responses)
    unneeded = knows_the_end(project) and _SAID_BY_RULES not in project.training.actions
    return [piece for piece in absent if piece.name != _SAID_BY_RULES or not unneeded]


def _examples(project: Project, intent: str | None) -> list[Piece]:
    """For intents that nobody gave any."""
    unneeded = {ASKED} if leads_to_people(project) or intent is not None else set()
    there = project.training.examples.keys() | unneeded
    return [piece for piece in pieces(template("training.yml"), "nlu") if piece.name not in there]


def _rules(project: Project, intent: str | None) -> list[Piece]:
    asked, closed = pieces(template("training.yml"), "rules")
    rules = [] if leads_to_people(project) else [asked.with_(ASKED, intent or ASKED)]
    rules += [] if knows_the_end(project) else [closed]
    return rules + _naming(project)


def _naming(project: Project) -> list[Piece]:
    """A rule that never runs, with what the plugin says by itself and no rule or story does."""
    said = [piece.name for piece in pieces(template("domain.yml"), "responses") if piece.name != _SAID_BY_RULES]
    unseen = [name for name in said if name not in project.training.actions]
    if not unseen:
        return []
    name = _new_name({course.name for course in project.training.courses})
    lines = [
        "# Never runs. It names what the plugin says by itself, which `rasa data validate` takes for forgotten else.",
        f"- rule: {name}",
        "  condition:",
        "    - slot_was_set:",
        "        - handoff_status: queued",
        "  steps:",
        *(f"    - action: {name}" for name in unseen),
    ]
    return [Piece(name=name, lines=tuple(lines))]


def _new_name(taken: set[str]) -> str:
    numbered = (f"{_NAMING} {number}" for number in count(2))
    return next(name for name in chain([_NAMING], numbered) if name not in taken)
