"""The commands that ask a running server: handoffs, take, give-back, outbox."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from rasa_handoff.cli.output import FAILED, FINE, count, say, say_json, say_table, span, text_of
from rasa_handoff.cli.usage import add_remote, client_of
from rasa_handoff.client import Client, ServerRefused
from rasa_handoff.model import EndReason, Json, Status


def add(commands: Any) -> None:
    """Add these commands to those of the program."""
    _add_handoffs(commands)
    _add_take(commands)
    _add_give_back(commands)
    _add_outbox(commands)


def _add_handoffs(commands: Any) -> None:
    add_remote(commands, "handoffs", "list the open handoffs, oldest first", _handoffs)


def _handoffs(asked: argparse.Namespace) -> int:
    found = client_of(asked).handoffs()
    if asked.json:
        return say_json({"handoffs": found})
    if not found:
        return say("No conversation is with an agent, and none waits for one.")
    now = time.time()
    rows = [_handoff_row(one, now) for one in found]
    return say_table(["AGE", "STATUS", "USER", "CHANNEL", "BACKEND", "AGENT", "ID"], rows)


def _handoff_row(handoff: Json, now: float) -> list[str]:
    agent = (handoff.get("agent") or {}).get("name")
    words = [handoff["status"], handoff["sender_id"], handoff["channel"], handoff["backend"], agent]
    return [span(now - handoff["opened_at"]), *(text_of(word) for word in words), text_of(handoff["id"])]


def _add_take(commands: Any) -> None:
    take = add_remote(commands, "take", "give a conversation to the agents, though its user did not ask", _take)
    take.add_argument("sender_id", metavar="SENDER_ID", help="Rasa's name of the conversation")
    take.add_argument("--to", metavar="BACKEND", help="the agent system; the route decides otherwise")
    take.add_argument("--group", help="the group or department there")
    take.add_argument("--priority", help="in the agent system's words")


def _take(asked: argparse.Namespace) -> int:
    handoff = client_of(asked).take(asked.sender_id, backend=asked.to, group=asked.group, priority=asked.priority)
    refused = handoff["status"] == Status.CLOSED.value and handoff["end_reason"] != EndReason.HANDED_OVER.value
    if asked.json:
        say_json({"handoff": handoff})
    elif refused:
        reason = text_of(handoff["end_reason"])
        print(f"rasa-handoff: no agent takes it ({reason}); the bot goes on", file=sys.stderr)
    else:
        say(_taken(handoff))
    return FAILED if refused else FINE


def _taken(handoff: Json) -> str:
    """Where a conversation is that agents have."""
    where = text_of(handoff["backend"])
    if handoff["status"] == Status.CLOSED.value:
        return f"The bot has left; the user is with the agents of {where} for good."
    return f"The bot is quiet; the conversation is {handoff['status']} at {where}."


def _add_give_back(commands: Any) -> None:
    back = add_remote(commands, "give-back", "end the handoff of a conversation: the bot has it again", _give_back)
    back.add_argument("sender_id", metavar="SENDER_ID", help="Rasa's name of the conversation")


def _give_back(asked: argparse.Namespace) -> int:
    handoff = client_of(asked).give_back(asked.sender_id)
    return say_json({"handoff": handoff}) if asked.json else say("The bot has the conversation again.")


def _add_outbox(commands: Any) -> None:
    words = "see what could not be delivered, and send it again"
    outbox = commands.add_parser("outbox", help=words, description=f"{words[0].upper()}{words[1:]}.")
    inner = outbox.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_remote(inner, "list", "list what waits to be delivered, and what was put aside (dead)", _outbox_list)
    retry = add_remote(inner, "retry", "send again what was put aside", _outbox_retry)
    which = retry.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="*", default=[], metavar="ID", help="of a dead delivery, as `outbox list` shows it")
    which.add_argument("--all", action="store_true", help="all of them")


def _outbox_list(asked: argparse.Namespace) -> int:
    found = client_of(asked).deliveries()
    if asked.json:
        return say_json({"deliveries": found})
    if not found:
        return say("Nothing waits, nothing is dead: all is delivered.")
    now = time.time()
    rows = [_delivery_row(one, now) for one in found]
    return say_table(["AGE", "STATE", "TO", "KIND", "TRIES", "NEXT", "ID", "ERROR"], rows)


def _delivery_row(delivery: Json, now: float) -> list[str]:
    dead = delivery["state"] == "dead"
    return [
        span(now - delivery["created_at"]),
        text_of(delivery["state"]),
        text_of(delivery["target"]),
        text_of(delivery["kind"]),
        text_of(delivery["attempts"]),
        "-" if dead else f"in {span(delivery['next_at'] - now)}",
        text_of(delivery["id"]),
        text_of(delivery["error"]),
    ]


def _outbox_retry(asked: argparse.Namespace) -> int:
    client = client_of(asked)
    ids = _dead(client) if asked.all else asked.id
    retried: list[Json] = []
    refused: dict[str, str] = {}
    for one in ids:
        try:
            retried.append(client.retry(one))
        except ServerRefused as error:
            refused[one] = str(error)
    if asked.json:
        say_json({"retried": retried, "refused": refused})
    else:
        say(f"{count(len(retried), 'delivery', 'deliveries')} on the way again.")
        for message in refused.values():
            print(f"rasa-handoff: {message}", file=sys.stderr)
    return FAILED if refused else FINE


def _dead(client: Client) -> list[str]:
    return [str(one["id"]) for one in client.deliveries() if one["state"] == "dead"]
