"""What this bot's action server serves: the plugin's actions and the bot's own."""

from __future__ import annotations

from typing import Any

from rasa_sdk import Action, FormValidationAction, Tracker
from rasa_sdk.events import EventType, SlotSet
from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.types import DomainDict

from rasa_handoff.actions import *  # noqa: F403 (the action server finds actions by their class)

FEWEST_DIGITS = 6


class ValidateCallbackForm(FormValidationAction):
    """Take no phone number that nobody could call."""

    def name(self) -> str:
        return "validate_callback_form"

    def validate_callback_phone(
        self,
        value: Any,
        dispatcher: CollectingDispatcher,
        tracker: Tracker,
        domain: DomainDict,
    ) -> dict[str, Any]:
        """Keep the number, or ask again."""
        if sum(character.isdigit() for character in str(value)) >= FEWEST_DIGITS:
            return {"callback_phone": value}
        dispatcher.utter_message(response="utter_phone_unreadable")
        return {"callback_phone": None}


class ForgetCallback(Action):
    """Empty the form, so that it can be asked again."""

    def name(self) -> str:
        return "action_forget_callback"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[EventType]:
        """Forget what was asked for."""
        return [SlotSet(slot) for slot in ("callback_name", "callback_phone", "callback_time")]
