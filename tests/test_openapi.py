"""The served description of the agents' API: complete, true, and what it allows never breaks the server.

Every answer that any test gets from a route under `/desk/api` is held against it as well (`tests/described.py`).
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from sanic import Blueprint, Sanic

from rasa_handoff.desk.api import DeskApi
from rasa_handoff.desk.openapi import DOCUMENT
from tests.described import PREFIX, operations, resolved
from tests.web_stage import BASE, Agent, Web


def routes() -> set[tuple[str, str]]:
    """What is registered under `/desk/api`."""
    app = Sanic(f"routes-{uuid.uuid4().hex}", configure_logging=False)
    blueprint = Blueprint("handoff_webhook", url_prefix=BASE)
    DeskApi(lambda: None).add_to(blueprint)  # type: ignore[arg-type, return-value]
    app.blueprint(blueprint)
    found = {(method, f"/{route.path}") for route in app.router.routes for method in route.methods}
    return {
        (method, re.sub(r"<(\w+):\w+>", r"{\1}", path.removeprefix(PREFIX)))
        for method, path in found
        if path.startswith(f"{PREFIX}/")
    }


def test_describes_every_route_and_no_other() -> None:
    assert set(operations()) == routes()


async def test_is_served_to_anybody(web: Web) -> None:
    answer = await (await web.stranger()).get("/desk/api/openapi.json")
    assert (answer.status, answer.json) == (200, DOCUMENT)


def test_every_reference_leads_somewhere_and_everything_is_used() -> None:
    text = json.dumps(DOCUMENT)
    references = set(re.findall(r'"\$ref": "(#/[^"]+)"', text))
    for reference in references:
        assert resolved({"$ref": reference}), reference
    named = {
        f"#/components/{kind}/{name}"
        for kind, things in DOCUMENT["components"].items()
        if kind != "securitySchemes"
        for name in things
    }
    assert named == references


def test_every_schema_is_one() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_operation_has_a_name_a_summary_and_its_errors() -> None:
    names = [operation["operationId"] for operation in operations().values()]
    assert len(set(names)) == len(names)
    for (method, path), operation in operations().items():
        assert operation["summary"].endswith(".")
        expected = set() if path == "/openapi.json" else {"401", "404", "503"}
        expected |= {"400", "413"} if method != "GET" else set()
        expected |= {"409"} if method == "POST" and path.startswith("/chats/") else set()
        assert expected <= set(operation["responses"]), (method, path)


# What the document allows, and what it does not: a server that breaks on neither.

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=True)
    | st.text(max_size=60)
    | st.sampled_from(
        ["online", "away", "resolved", "cleo", "bo", str(uuid.UUID(int=7)), "x" * 10_001, "\ud800", "\0"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
file_names = st.text(max_size=20).map(lambda name: quote(name, errors="replace"))
chat_ids = st.sampled_from(["waiting", "open", "closed", "unknown"])


def allowed(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of this schema, of the few kinds that the document's bodies have."""
    schema = resolved(schema)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of(*(_of_kind(kind, schema) for kind in kinds))


def _of_kind(kind: str, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if kind == "object":
        fields = {name: allowed(each) for name, each in schema["properties"].items()}
        required = {name: fields.pop(name) for name in schema["required"]}
        return st.fixed_dictionaries(required, optional=fields)
    if kind == "array":
        return st.lists(allowed(schema["items"]), max_size=schema["maxItems"])
    if kind == "string" and schema.get("format") == "uuid":
        return st.uuids().map(str)
    if kind == "string":
        characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
        return st.text(characters, min_size=schema.get("minLength", 0), max_size=min(schema["maxLength"], 300))
    return {"null": st.none(), "boolean": st.booleans()}[kind]


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, Any, bool]:
    """Method, path, body, and whether the document allows the body."""
    known = [each for each in operations() if each not in (("GET", "/stream"), ("DELETE", "/session"))]
    method, path = draw(st.sampled_from(known))
    body = operations()[method, path].get("requestBody")
    path = path.replace("{chat_id}", draw(chat_ids))
    path = re.sub(r"{\w+}", str(uuid.UUID(int=7)), path)
    if body is None:
        return method, path, draw(anything) if method != "GET" else None, method == "GET"
    if "*/*" in body["content"]:
        return method, f"{path}?name={draw(file_names)}", draw(anything), True
    schema = body["content"]["application/json"]["schema"]
    valid = draw(st.booleans())
    if valid:
        return method, path, draw(allowed(schema)), True
    mixed = st.fixed_dictionaries({}, optional=dict.fromkeys(resolved(schema)["properties"], anything))
    return method, path, draw(anything | mixed), False


@pytest.mark.slow
async def test_no_request_breaks_the_server(web: Web) -> None:
    """Some hundred requests, allowed and not, to chats in every state: never a 5xx, never an undescribed answer."""
    bo = await web.agent_online()
    chats = await _chats_in_every_state(web, bo)
    loop = asyncio.get_running_loop()

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(requests())
    def ask(request: tuple[str, str, Any, bool]) -> None:
        asyncio.run_coroutine_threadsafe(_ask(bo, chats, *request), loop).result(30)

    await loop.run_in_executor(None, ask)


async def _ask(agent: Agent, chats: dict[str, str], method: str, path: str, body: Any, valid: bool) -> None:
    for state, chat in chats.items():
        path = path.replace(f"/chats/{state}", f"/chats/{chat}")
    answer = await agent.ask(method, f"/desk/api{path}", raw=json.dumps(body).encode() if body is not None else None)
    assert answer.status < 500
    if valid and method != "POST":
        assert answer.status != 400


async def _chats_in_every_state(web: Web, bo: Agent) -> dict[str, str]:
    chats = {state: (await web.open(f"web-{state}"))["id"] for state in ("waiting", "open", "closed")}
    await bo.accept(chats["open"])
    await bo.accept(chats["closed"])
    await bo.close(chats["closed"])
    return chats
