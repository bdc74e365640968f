"""How content users were, as the desk's agents see it."""

from __future__ import annotations

from typing import Any

import pytest

from rasa_handoff.desk.backend import Desk
from rasa_handoff.model import Rating
from rasa_handoff.store import handoffs
from tests.web_stage import Agent, Web


async def rate(web: Web, sender: str, stars: int, **more: Any) -> int:
    """What the bot's action does with what the user said; the answer's status."""
    body = {"sender_id": sender, "stars": stars, **more}
    return (await (await web.operator()).post("/handoffs/rating", body)).status


async def closed_chat(web: Web, agent: Agent) -> tuple[str, str]:
    """A user whose chat is over, and that chat."""
    user, chat = await web.waiting_user()
    await agent.accept(chat)
    await agent.close(chat)
    return user.sender, chat


def test_the_desk_takes_ratings() -> None:
    assert Desk.takes_ratings()


async def test_a_chat_has_none_before_its_user_gave_one(web: Web) -> None:
    bo = await web.agent_online()
    _, chat = await closed_chat(web, bo)
    assert (await bo.look_at(chat))["chat"]["rating"] is None


@pytest.mark.parametrize("resolved", [True, False, None])
async def test_a_chat_shows_what_its_user_gave(web_on_each: Web, resolved: bool | None) -> None:
    web = web_on_each
    bo = await web.agent_online()
    sender, chat = await closed_chat(web, bo)
    assert await rate(web, sender, 4, **({} if resolved is None else {"resolved": resolved})) == 200
    expected = {"stars": 4, "resolved": resolved}
    assert (await bo.look_at(chat))["chat"]["rating"] == expected
    assert (await bo.chats())["closed"][0]["rating"] == expected


async def test_the_last_of_several_counts(web: Web) -> None:
    bo = await web.agent_online()
    sender, chat = await closed_chat(web, bo)
    for stars in (1, 5):
        await rate(web, sender, stars)
    assert (await bo.look_at(chat))["chat"]["rating"]["stars"] == 5


async def test_every_console_is_told_when_it_comes(web_on_each: Web) -> None:
    web = web_on_each
    bo = await web.agent_online("Bo")
    page = await (await web.agent("Cleo")).come()
    sender, chat = await closed_chat(web, bo)
    await rate(web, sender, 3, resolved=False)
    told = await page.until(lambda event: event.name == "chat" and event.data["rating"])
    assert (told.data["id"], told.data["rating"]) == (chat, {"stars": 3, "resolved": False})


async def test_of_a_chat_that_was_deleted_meanwhile_it_tells_nobody(web: Web) -> None:
    bo = await web.agent("Bo")
    page = await bo.come()
    _, chat = await closed_chat(web, bo)
    handoff = await web.runtime.store.read(lambda tx: handoffs.get(tx, chat))
    assert handoff is not None
    await web.runtime.store.write(lambda tx: tx.run("DELETE FROM handoff_desk_chats WHERE id = :id", {"id": chat}))
    await web.desk.rate(handoff, Rating(stars=2))
    await bo.choose("away")
    await page.until(lambda event: event.name == "agent" and event.data["presence"] == "away")
    assert not any(event.data["rating"] for event in page.seen if event.name == "chat")
