"""Where the demo's pages are, and what to do first."""

from __future__ import annotations

import json

from rasa_handoff.access import Access
from rasa_handoff.demo.options import BOT, Options
from rasa_handoff.testing.agent_side import Running


def say_where(options: Options, found: Access | None, agents: Running | None) -> None:
    """Tell where everything is and what to do first."""
    base = f"http://localhost:{options.port}/webhooks/handoff"
    if agents is not None:
        _say_where_without_desk(options, f"{base}/chat/", agents.page)
        return
    desk = found.agents if found else ()
    if options.json:
        named = [{"name": agent.name, "token": agent.token} for agent in desk]
        print(json.dumps({"chat": f"{base}/chat/", "console": f"{base}/desk/", "agents": named}), flush=True)
        return
    sign_ins = [f"{one.name}, with the token {one.token}" for one in desk] or [f"an agent of {BOT}/credentials.yml"]
    sign_in = "\n".join(f"  Sign in there as     {one}" for one in sign_ins)
    print(
        f"""
  The user's page      {base}/chat/
  The agents' console  {base}/desk/
{sign_in}

  1. Open both pages side by side, and sign in at the console.
  2. On the user's page, write: I want to talk to an agent
  3. At the console, accept the chat, answer, and close it. The bot carries on.

  Ctrl-C stops everything.
""",
        flush=True,
    )


_STEPS = """\
  1. On the user's page, write: I want to talk to an agent
  2. The stand-in accepts, and repeats what you write. Write bye, and it ends the chat; the bot carries on."""
_STEPS_THERE = """\
  1. On the user's page, start a chat. The bot, an agent there, takes it from the queue and answers.
  2. Write: I want to talk to an agent. The bot transfers the chat to a person, with a note, and has left it.
  3. The person repeats what you write. Write bye, and they end the chat."""


def _say_where_without_desk(options: Options, chat: str, page: str | None) -> None:
    """Tell where to be the user: on our own chat page, or on a *page* of the stand-in's."""
    if options.json:
        print(json.dumps({"chat": page or chat}), flush=True)
        return
    print(
        f"""
  The user's page      {page or chat}
  The agents           a stand-in of {options.backend}; what happens there is told here

{_STEPS_THERE if page else _STEPS}

  make demo BACKEND={options.backend} ARGS=--wire shows every request and answer, too. Ctrl-C stops everything.
""",
        flush=True,
    )
