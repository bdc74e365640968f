"""The other chats of a user, as an agent sees them beside the one that is open."""

from __future__ import annotations

from typing import Any

from tests.web_stage import Agent, Web


async def chat_of(web: Web, agent: Agent, sender: str, **end: Any) -> str:
    """A chat of this user from its beginning to its end."""
    chat = str((await web.open(sender))["id"])
    await agent.accept(chat)
    await agent.close(chat, **end)

    async def is_the_bots() -> bool:
        return await web.runtime.switchboard.holder(sender) is None

    await web.until(is_the_bots)
    return chat


async def earlier_than(agent: Agent, chat: str) -> list[str]:
    return [each["id"] for each in (await agent.look_at(chat))["earlier"]]


async def test_who_comes_for_the_first_time_has_none(web: Web) -> None:
    bo = await web.agent_online()
    _, chat = await web.waiting_user()
    assert await earlier_than(bo, chat) == []


async def test_are_the_users_own_newest_first(web_on_each: Web) -> None:
    web = web_on_each
    bo = await web.agent_online()
    chats = [await chat_of(web, bo, "ann") for _ in range(3)]
    await chat_of(web, bo, "ben")
    again = (await web.open("ann"))["id"]
    assert await earlier_than(bo, again) == chats[::-1]


async def test_a_user_without_a_name_has_the_number_of_their_first_chat(web_on_each: Web) -> None:
    """So that who comes back is not somebody else."""
    web = web_on_each
    bo = await web.agent_online()
    first = await chat_of(web, bo, "web-ann")
    other = await chat_of(web, bo, "web-ben")
    again = (await web.open("web-ann"))["id"]
    shown = [(await bo.look_at(each))["chat"] for each in (first, other, again)]
    assert [each["user_number"] for each in shown] == [1, 2, 1]
    assert [each["number"] for each in shown] == [1, 2, 3]
    assert [each["user_number"] for each in (await bo.chats())["waiting"]] == [1]


async def test_say_how_they_ended(web: Web) -> None:
    bo = await web.agent_online()
    await chat_of(web, bo, "ann", reason="unresolved", note="waits for a part", tags=["gears"])
    again = (await web.open("ann"))["id"]
    (before,) = (await bo.look_at(again))["earlier"]
    end = {"reason": "unresolved", "by": "agent", "note": "waits for a part", "tags": ["gears"]}
    assert (before["agent"], before["end"]) == ({"id": "bo", "name": "Bo"}, end)


async def test_from_an_old_chat_the_newer_ones_are_found_too(web: Web) -> None:
    bo = await web.agent_online()
    first = await chat_of(web, bo, "ann")
    again = (await web.open("ann"))["id"]
    assert await earlier_than(bo, first) == [again]


async def test_are_twenty_at_most(web: Web) -> None:
    bo = await web.agent_online()
    chats = [await chat_of(web, bo, "ann") for _ in range(22)]
    again = (await web.open("ann"))["id"]
    assert await earlier_than(bo, again) == chats[:1:-1]
