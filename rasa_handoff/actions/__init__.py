"""The bot's actions: hand over, take back, ask how it stands; in the action server, over HTTP."""

from __future__ import annotations

import uuid
from dataclasses import asdict

from rasa_sdk import Action, Tracker
from rasa_sdk.events import ConversationPaused, ConversationResumed
from rasa_sdk.executor import CollectingDispatcher

from rasa_handoff import transcript
from rasa_handoff.actions.server import NONE, Server
from rasa_handoff.actions.turn import Turn
from rasa_handoff.errors import HandoffError, TemporaryError
from rasa_handoff.model import EndReason, Json, Status

__all__ = [
    "ActionHandoff",
    "ActionHandoffCallback",
    "ActionHandoffCancel",
    "ActionHandoffRating",
    "ActionHandoffStatus",
]
TIMEOUT = 15.0  #: seconds for an answer; an agent system has 10 s of them by default
_REFUSALS = {
    EndReason.UNAVAILABLE.value: "utter_handoff_unavailable",
    EndReason.REJECTED.value: "utter_handoff_rejected",
}


class ActionHandoff(Action):
    """Ask for a person; the bot is quiet only when an agent system accepted."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout

    def name(self) -> str:
        return "action_handoff"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Json) -> list[Json]:
        turn = Turn(dispatcher, tracker, domain)
        try:
            handoff = await self._open(tracker)
        except HandoffError as error:
            return turn.failed(self.name(), error)
        if handoff["end_reason"] == EndReason.HANDED_OVER:  # the bot has left, and nobody would hear it
            return [*turn.slots(handoff), ConversationPaused()]
        if handoff["status"] == Status.CLOSED:
            turn.say(_refused(handoff, turn), handoff)
            return turn.slots(handoff)
        turn.say(_opened(handoff), handoff)
        return [*turn.slots(handoff), ConversationPaused()]

    async def _open(self, tracker: Tracker) -> Json:
        server = Server.find(self.timeout)
        try:
            return await server.open(_request(tracker))
        except TemporaryError as error:
            # Nobody knows what became of it. What the server says is what counts.
            return await _settle(server, tracker.sender_id, error)


class ActionHandoffCancel(Action):
    """End the handoff of this conversation; the bot is back."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout

    def name(self) -> str:
        return "action_handoff_cancel"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Json) -> list[Json]:
        turn = Turn(dispatcher, tracker, domain)
        try:
            handoff = await Server.find(self.timeout).close(tracker.sender_id)
        except HandoffError as error:
            return turn.failed(self.name(), error, keep=True)
        if handoff is None:
            turn.say("utter_handoff_none", NONE)
            return [*turn.slots(NONE), ConversationResumed()]
        turn.say("utter_handoff_cancelled", handoff)
        return [*turn.slots(handoff), ConversationResumed()]


class ActionHandoffStatus(Action):
    """Say how the handoff of this conversation stands."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout

    def name(self) -> str:
        return "action_handoff_status"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Json) -> list[Json]:
        turn = Turn(dispatcher, tracker, domain)
        try:
            handoff = await Server.find(self.timeout).current(tracker.sender_id)
        except HandoffError as error:
            return turn.failed(self.name(), error, keep=True)
        if handoff is None or handoff["status"] == Status.CLOSED:
            turn.say("utter_handoff_none", handoff or NONE)
        else:
            turn.say("utter_handoff_status", handoff)
        return turn.slots(handoff or NONE)


class ActionHandoffCallback(Action):
    """Leave a request to be called back, with what the bot has asked for; the bot goes on."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout

    def name(self) -> str:
        return "action_handoff_callback"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Json) -> list[Json]:
        turn = Turn(dispatcher, tracker, domain)
        try:
            await self._leave(tracker)
        except HandoffError as error:
            turn.log(self.name(), error)
            turn.say("utter_handoff_callback_failed", NONE)
            return turn.set(handoff_callback="failed")
        turn.say("utter_handoff_callback_left", NONE)
        return turn.set(handoff_callback="left")

    async def _leave(self, tracker: Tracker) -> None:
        server = Server.find(self.timeout)
        request = {**_request(tracker), "id": str(uuid.uuid4()), "callback": transcript.contact(tracker.slots)}
        for detail in request["callback"]:
            request["parameters"].pop(f"callback_{detail}", None)
        try:
            await server.leave(request)
        except TemporaryError:
            await server.leave(request)  # the id tells the server that it is the same one


class ActionHandoffRating(Action):
    """Pass on how content the user was with the agents, which the bot has asked for."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self.timeout = timeout

    def name(self) -> str:
        return "action_handoff_rating"

    async def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: Json) -> list[Json]:
        turn = Turn(dispatcher, tracker, domain)
        try:
            await Server.find(self.timeout).rate(_rating(tracker))
        except HandoffError as error:
            turn.log(self.name(), error)
            turn.say("utter_handoff_rating_failed", NONE)
        else:
            turn.say("utter_handoff_rated", NONE)
        return turn.set(handoff_rating=None, handoff_resolved=None)  # of one handoff, not of the next


def _rating(tracker: Tracker) -> Json:
    """The user's answers; what is typed or pressed comes as text, what an entity extractor finds as a number."""
    stars, resolved = tracker.slots.get("handoff_rating"), tracker.slots.get("handoff_resolved")
    if isinstance(stars, str) and stars.strip().isdecimal():
        stars = int(stars.strip()[:2])
    known = {"stars": stars, "resolved": resolved if isinstance(resolved, bool) else None}
    return {"sender_id": tracker.sender_id, **{name: value for name, value in known.items() if value is not None}}


async def _settle(server: Server, sender_id: str, error: TemporaryError) -> Json:
    """What became of a request whose answer did not arrive; an undecided one is taken back."""
    impatient = Server(access=server.access, timeout=server.timeout / 3)
    handoff = await impatient.current(sender_id)
    if handoff is not None and handoff["status"] in (Status.QUEUED, Status.ACTIVE):
        return handoff
    if handoff is not None and handoff["status"] == Status.REQUESTED:
        await impatient.close(sender_id)
    raise error


def _refused(handoff: Json, turn: Turn) -> str:
    own = turn.has("utter_handoff_outside_hours") or not turn.has("utter_handoff_unavailable")
    if handoff["next_opening"] and own:
        return "utter_handoff_outside_hours"
    return _REFUSALS.get(handoff["end_reason"], "utter_handoff_failed")


def _opened(handoff: Json) -> str:
    return "utter_handoff_active" if handoff["status"] == Status.ACTIVE else "utter_handoff_queued"


def _request(tracker: Tracker) -> Json:
    """Everything the agent should know."""
    channel, details = tracker.get_latest_input_channel(), tracker.latest_message.get("metadata")
    known = asdict(transcript.request(tracker.sender_id, channel, tracker.events, tracker.slots, details))
    return {name: value for name, value in known.items() if value is not None}
