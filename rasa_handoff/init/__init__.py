"""`rasa-handoff init`: writes what is missing into a bot's files, and leaves all else as it is."""

from __future__ import annotations

from rasa_handoff.init.plan import Change, Plan, make
from rasa_handoff.init.writing import diff, write

__all__ = ["Change", "Plan", "diff", "make", "write"]
