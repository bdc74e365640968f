"""One run of an action: what the bot says and remembers of a handoff."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rasa_sdk import Tracker
from rasa_sdk.events import SlotSet
from rasa_sdk.executor import CollectingDispatcher

from rasa_handoff.actions.server import FAILED
from rasa_handoff.errors import HandoffError
from rasa_handoff.model import Json

log = logging.getLogger(__name__)

# What is said when the domain has no such response: silence would be worse than English.
_WORDS = {
    "utter_handoff_queued": "I am connecting you with a person. Please stay here.",
    "utter_handoff_active": "You are talking with a person now.",
    "utter_handoff_unavailable": "Nobody is available at the moment. I am still here to help.",
    "utter_handoff_outside_hours": "Nobody is here now, but again {next_opening}. I am still here to help.",
    "utter_handoff_rejected": "Your request was not accepted. I am still here to help.",
    "utter_handoff_failed": "I could not reach anybody just now. I am still here to help.",
    "utter_handoff_cancelled": "You are talking with me again.",
    "utter_handoff_none": "You are not waiting for a person.",
    "utter_handoff_status": "You asked for a person, and I am still connecting you.",
    "utter_handoff_callback_left": "Somebody will call you back.",
    "utter_handoff_callback_failed": "I could not leave your request for a call back. Please try again later.",
    "utter_handoff_rated": "Thank you for telling us.",
    "utter_handoff_rating_failed": "I could not pass that on. Thank you all the same.",
}
# Not strftime's: those are in the language of the machine.
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Turn:
    """One run of an action: what goes to the user and into the tracker, as far as the domain has it."""

    def __init__(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Json | None) -> None:
        self._dispatcher = dispatcher
        self._tracker = tracker
        self._domain = domain or {}

    def has(self, response: str) -> bool:
        """Whether the bot has its own words for *response*; a domain that is not known may have them."""
        responses = self._domain.get("responses")
        return responses is None or response in responses

    def say(self, response: str, handoff: Json) -> None:
        """Utter *response*, or plain words where the bot has none of its own."""
        values = {
            "status": handoff["status"],
            "queue_position": handoff["queue_position"],
            "queue_minutes": handoff["queue_minutes"],
            "ticket": handoff["ticket"],
            "agent_name": handoff["agent"] or "an agent",
            "department": handoff["department"],
            "end_reason": handoff["end_reason"],
            **_opening_in_words(handoff["next_opening"]),
        }
        if self.has(response):
            self._dispatcher.utter_message(response=response, **values)
        else:
            self._dispatcher.utter_message(text=_WORDS[response].format(**values))

    def slots(self, handoff: Json) -> list[Json]:
        """The handoff as those slots that the domain has."""
        return self.set(
            handoff_status=handoff["status"],
            handoff_id=handoff["id"],
            handoff_backend=handoff["backend"],
            handoff_queue_position=handoff["queue_position"],
            handoff_queue_minutes=handoff["queue_minutes"],
            handoff_ticket=handoff["ticket"],
            handoff_agent=handoff["agent"],
            handoff_department=handoff["department"],
            handoff_end_reason=handoff["end_reason"],
            handoff_next_opening=handoff["next_opening"],
        )

    def set(self, **values: Any) -> list[Json]:
        """Those of these slots that the domain has."""
        known: Iterable[str] | None = self._domain.get("slots")
        return [SlotSet(name, value) for name, value in values.items() if known is None or name in known]

    def failed(self, action: str, error: HandoffError, keep: bool = False) -> list[Json]:
        """Say and log that it did not work; *keep* the slots where the handoff may go on."""
        self.log(action, error)
        self.say("utter_handoff_failed", FAILED)
        return [] if keep else self.slots(FAILED)

    def log(self, action: str, error: HandoffError) -> None:
        log.error("handoff.action_failed action=%s sender_id=%r: %s", action, self._tracker.sender_id, error)


def _opening_in_words(local_time: str | None) -> dict[str, str]:
    """When somebody is there again: as English has it, and in parts for other languages."""
    if local_time is None:
        return {}
    opening = datetime.fromisoformat(local_time)
    days = (opening.date() - datetime.now(opening.tzinfo).date()).days
    near = {0: "today", 1: "tomorrow"}
    day = near.get(days) or (f"on {_WEEKDAYS[opening.weekday()]}" if days < 7 else f"on {opening:%Y-%m-%d}")
    return {
        "next_opening": f"{day} at {opening:%H:%M}",
        "next_opening_date": f"{opening:%Y-%m-%d}",
        "next_opening_time": f"{opening:%H:%M}",
    }
