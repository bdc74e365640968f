"""What the agents' API answers, held against the document that it serves."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator, RefResolver

from rasa_handoff.desk.openapi import DOCUMENT

PREFIX = "/webhooks/handoff/desk/api"


def _strict(value: Any) -> Any:
    """The document, with no room for what it does not name: a program may ignore it, a test must not."""
    if isinstance(value, list):
        return [_strict(each) for each in value]
    if not isinstance(value, dict):
        return value
    strict = {name: _strict(each) for name, each in value.items()}
    if isinstance(strict.get("properties"), dict) and "required" in strict:
        strict.setdefault("additionalProperties", False)
    return strict


_STRICT = _strict(copy.deepcopy(DOCUMENT))
_RESOLVER = RefResolver("", _STRICT)


def operations() -> dict[tuple[str, str], Any]:
    """What the document describes, by method and path."""
    methods = ("get", "post", "put", "patch", "delete")
    return {
        (method.upper(), path): item[method]
        for path, item in _STRICT["paths"].items()
        for method in methods
        if method in item
    }


def resolved(value: Any) -> Any:
    """What *value* stands for, if it is a reference."""
    return _RESOLVER.resolve(value["$ref"])[1] if "$ref" in value else value


def require_described(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Require that the document foresees this answer to this request."""
    found = _operation(method, path.removeprefix(PREFIX))
    assert str(status) in found["responses"], f"{method} {path} may not answer {status}"
    answer = resolved(found["responses"][str(status)])
    for name, header in answer.get("headers", {}).items():
        _validate(headers[name], resolved(header)["schema"])
    content = answer.get("content", {})
    if not content:
        assert body == b"", f"{method} {path} answers {status} with a body"
        return
    kind = headers["Content-Type"].partition(";")[0]
    assert kind in content, f"{method} {path} answers {status} as {kind}"
    if kind == "application/json":
        _validate(json.loads(body), content[kind]["schema"])


def require_described_event(name: str, data: Any) -> None:
    """Require that the document foresees this event of the stream."""
    _validate(data, operations()["GET", "/stream"]["responses"]["200"]["x-events"][name])


def _operation(method: str, path: str) -> Any:
    for (known, template), operation in operations().items():
        if known == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return operation
    raise AssertionError(f"{method} {path} is not described")


def _validate(value: Any, schema: Any) -> None:
    Draft202012Validator(schema, resolver=_RESOLVER).validate(value)
