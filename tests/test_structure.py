"""The package is built as docs/design.md draws it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import rasa_handoff

PACKAGE = Path(rasa_handoff.__file__).parent
DESIGN = PACKAGE.parent / "docs" / "design.md"
NAMES = re.compile(r"  +([a-z_]+/?(?:, [a-z_]+/?)*) +")  #: at the beginning of a line of its layout

# A module may import what stands before it, never what stands behind.
ORDER = [
    "errors",
    "model",
    "events",
    "faces",
    "hours",
    "settings.chosen",
    "settings.faults",
    "settings.hints",
    "settings.texts",
    "settings.shapes",
    "settings.raw",
    "settings.values",
    "settings.route",
    "settings.section",
    "settings",
    "access",
    "signing",
    "strict_json",
    "transcript",
    "attachments",
    "pieces",
    "media",
    "live",
    "tasks",
    "store.schema",
    "store.database",
    "store.writer",
    "store.workers",
    "store.lease",
    "store.peers",
    "store",
    "store.messages",
    "store.deliveries",
    "store.stream",
    "store.handoffs",
    "store.kept",
    "store.files",
    "store.users",
    "store.opens",
    "store.retention",
    "store.figures",
    "fetch",
    "files",
    "porter",
    "backends.breaker",
    "backends.http",
    "backends.tokens",
    "backends.base",
    "backends.user_files",
    "backends.unanswered",
    "backends.oauth",
    "backends.sources",
    "backends.liveperson",
    "backends.liveperson.domains",
    "backends.markup",
    "backends.polling",
    "backends.liveperson.settings",
    "backends.liveperson.requests",
    "backends.liveperson.connector",
    "backends.liveperson.content",
    "backends.liveperson.reading",
    "backends.liveperson.order",
    "backends.liveperson.files",
    "backends.liveperson.receipts",
    "backends.liveperson.backend",
    "backends.liveperson_chat",
    "backends.liveperson_chat.settings",
    "backends.liveperson_chat.reading",
    "backends.liveperson_chat.request",
    "backends.liveperson_chat.api",
    "backends.liveperson_chat.backend",
    "backends.avaamo",
    "backends.livechat",
    "backends.livechat.settings",
    "backends.livechat.regions",
    "backends.livechat.accounts",
    "backends.livechat.customers",
    "backends.livechat.content",
    "backends.livechat.reading",
    "backends.livechat.api",
    "backends.livechat.pressing",
    "backends.livechat.saying",
    "backends.livechat.people",
    "backends.livechat.asked_for",
    "backends.livechat.opening",
    "backends.livechat.hearing",
    "backends.livechat.following",
    "backends.livechat.webhooks",
    "backends.livechat.backend",
    "backends.vonage",
    "backends.yellow",
    "backends",
    "routing",
    "changes",
    "requests",
    "switchboard",
    "inbox",
    "opening",
    "callbacks",
    "signals",
    "elsewhere",
    "erasure",
    "outbox",
    "succession",
    "clock",
    "health",
    "figures",
    "metrics",
    "runtime",
    "web",
    "web.framing",
    "web.logs",
    "web.answers",
    "web.server_token",
    "web.pages",
    "web.history",
    "web.ranges",
    "web.media",
    "web.files",
    "web.sse",
    "web.operators",
    "web.health",
    "web.metrics",
    "web.figures",
    "web.takeover",
    "web.users",
    "web.webhooks",
    "web.user",
    "desk",
    "desk.groups",
    "desk.settings",
    "desk.records",
    "desk.presence",
    "desk.patience",
    "desk.staff",
    "desk.facts",
    "desk.chats",
    "desk.work",
    "desk.backend",
    "desk.shapes",
    "desk.sessions",
    "desk.live",
    "desk.openapi",
    "desk.api",
    "liveperson_agent",
    "liveperson_agent.settings",
    "liveperson_agent.reading",
    "liveperson_agent.profiles",
    "liveperson_agent.session",
    "liveperson_agent.probe",
    "liveperson_agent.visitors",
    "liveperson_agent.lines",
    "liveperson_agent.book",
    "liveperson_agent.chat",
    "liveperson_agent.chats",
    "liveperson_agent.backend",
    "heap",
    "dialogue",
    "channels.base",
    "channels.notes",
    "channels.verbatim",
    "channels.service",
    "channels.agent_files",
    "channels.stream",
    "channels.rest",
    "channels.own",
    "channels.callback",
    "channels.telegram_calls",
    "channels.telegram",
    "channels.twilio",
    "channels.facebook_personas",
    "channels.facebook",
    "channels.botframework",
    "channels.hangouts",
    "channels.mattermost",
    "channels.rasa_chat",
    "channels.rocketchat",
    "channels.slack",
    "channels.slack.refusals",
    "channels.slack.messages",
    "channels.slack.uploads",
    "channels.slack.channel",
    "channels.socketio",
    "channels.twilio_voice",
    "channels.webexteams",
    "channels",
    "channels.addresses",
    "channels.intake",
    "heard",
    "reach",
    "takeover",
    "gate",
    "channel",
    "liveperson_agent.channel",
    "actions.server",
    "actions.turn",
    "actions",
    "project.shapes",
    "project.documents",
    "project.places",
    "project.domain",
    "project.training",
    "project.actions",
    "project",
    "credentials",
    "init.pieces",
    "init.insertion",
    "init.missing",
    "init.code",
    "init.plan",
    "init.writing",
    "init",
    "doctor.findings",
    "doctor.case",
    "doctor.files",
    "doctor.section",
    "doctor.channels",
    "doctor.domain",
    "doctor.training",
    "doctor.actions",
    "doctor.processes",
    "doctor.packages",
    "doctor.connections",
    "doctor.output",
    "doctor",
    "client",
    "testing.payloads",
    "testing.wire",
    "testing.waiting",
    "testing.calls",
    "testing.stage",
    "testing.contract",
    "testing.agent_sides",
    "testing.agent_sides.avaamo",
    "testing.agent_sides.liveperson",
    "testing.agent_sides.liveperson_chat",
    "testing.agent_sides.liveperson_agent.chats",
    "testing.agent_sides.liveperson_agent.visitors",
    "testing.agent_sides.liveperson_agent.account",
    "testing.agent_sides.liveperson_agent",
    "testing.agent_sides.livechat",
    "testing.agent_sides.vonage",
    "testing.agent_sides.yellow",
    "testing.agent_side",
    "testing",
    "demo.options",
    "demo.lines",
    "demo.processes",
    "demo.training",
    "demo.servers",
    "demo.where",
    "demo",
    "cli.output",
    "cli.usage",
    "cli.setup",
    "cli.server",
    "cli.stats",
    "cli.users",
    "cli.settings",
    "cli",
]
BESIDE = {"__init__", "__main__"}  # the public names, and the command; they load what they need
USES_RASA = {"dialogue", "gate", "channel", "liveperson_agent.channel"}  # and what is in the package channels
USES_SDK = {"actions", "actions.turn"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


MODULES = dict(modules())


def imports(path: Path) -> Iterator[str]:
    """The full names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def of_ours(name: str) -> str | None:
    """The module of ours that an import means."""
    if not name.startswith("rasa_handoff."):
        return None
    inside = name.removeprefix("rasa_handoff.")
    while inside and inside not in MODULES:
        inside = inside.rpartition(".")[0]
    return inside or None


def test_every_module_has_its_place() -> None:
    assert set(MODULES) - BESIDE == set(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_one_way(module: str) -> None:
    used = {found for name in imports(MODULES[module]) if (found := of_ours(name))} - {module}
    # A package's own __init__ gathers what its earlier files have.
    late = [name for name in used if ORDER.index(name) > ORDER.index(module)]
    assert late == [], f"{module} must not import {late}"


@pytest.mark.parametrize(("library", "allowed"), [("rasa", USES_RASA), ("rasa_sdk", USES_SDK)])
def test_rasa_and_its_sdk_stay_where_they_belong(library: str, allowed: set[str]) -> None:
    users = {name for name, path in MODULES.items() for found in imports(path) if found.split(".")[0] == library}
    if library == "rasa":
        users -= {name for name in MODULES if name.split(".")[0] == "channels"}
    assert users == allowed


def test_the_design_draws_every_module() -> None:
    layout = DESIGN.read_text("utf-8").partition("```\nrasa_handoff/\n")[2].partition("```")[0]
    lists = [found[1] for line in layout.splitlines() if (found := NAMES.match(line))]
    drawn = {name.rstrip("/") for names in lists for name in names.split(", ")}
    assert drawn - {name.rpartition(".")[2] for name in ORDER} == set()
    assert {name.split(".")[0] for name in ORDER} - drawn == set()


def test_every_module_says_what_it_is_for_in_a_sentence() -> None:
    for name, path in MODULES.items():
        words = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        assert words, name
        assert words.splitlines()[0].endswith((".", "?")) or len(words.splitlines()) > 1, name


def test_the_public_names_are_these() -> None:
    assert sorted(rasa_handoff.__all__) == [
        "AgentAway",
        "AgentIdle",
        "AgentJoined",
        "AgentMessage",
        "AgentTyping",
        "Backend",
        "BackendError",
        "ChatGone",
        "Closed",
        "HandoffInput",
        "LivePersonAgentInput",
        "MessageStatus",
        "MessageTakenBack",
        "Opened",
        "QueueMoved",
        "Refused",
        "TemporaryError",
        "Transferred",
        "Unavailable",
    ]
    for name in rasa_handoff.__all__:
        assert getattr(rasa_handoff, name).__name__ == name
