"""The description of the agents' API that is served, for programs."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

DOCUMENT: dict[str, Any] = json.loads((resources.files(__package__) / "openapi.json").read_text("utf-8"))
