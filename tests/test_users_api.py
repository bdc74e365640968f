"""What is kept of a user, over HTTP: for whoever has the server's token."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest

from rasa_handoff import cli
from tests.web_stage import SERVER_TOKEN, Web, token_of

ROUTES = ["/users/export", "/users/erase"]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", f"Bearer {token_of('Bo')}", SERVER_TOKEN])
async def test_without_the_servers_token_there_is_an_empty_401(web: Web, path: str, authorization: str | None) -> None:
    stranger = await web.stranger(**({"Authorization": authorization} if authorization else {}))
    answer = await stranger.ask("POST", path, raw=b"{")
    assert (answer.status, answer.body) == (401, b"")


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("body", [{}, {"sender_id": ""}, {"sender_id": 7}, {"sender_id": "x" * 256}])
async def test_without_a_name_nothing_is_done(web: Web, path: str, body: dict[str, object]) -> None:
    answer = await (await web.operator()).post(path, body)
    assert (answer.status, answer.code) == (400, "malformed")
    assert "sender_id" in answer.message


async def test_a_user_gets_what_is_kept_and_it_is_gone_when_erased(web_on_each: Web) -> None:
    web = web_on_each
    bo = await web.agent_online()
    user, chat = await web.waiting_user(
        transcript=[{"who": "user", "text": "a person, please", "at": 1.0}], parameters={"name": "Ann Example"}
    )
    await bo.accept(chat)
    await user.says("my number is 4711")
    await web.until(lambda: _has(web, chat, "4711"))
    await bo.reply(chat, "Thank you, Ann")
    await bo.close(chat, note="she is called Ann", tags=["vip"])
    operator = await web.operator()
    export = await operator.post("/users/export", {"sender_id": user.sender})
    for words in ("a person, please", "Ann Example", "4711", "Thank you, Ann", "she is called Ann", "vip"):
        assert words in export.body.decode()
    kept = export.json["user"]
    assert (kept["sender_id"], kept["handoffs"][0]["id"]) == (user.sender, chat)

    answer = await operator.post("/users/erase", {"sender_id": user.sender})
    assert answer.status == 200, answer
    erased = answer.json
    assert (erased["rows"]["handoffs"], erased["rows"]["desk_chats"], erased["elsewhere"]) == (1, 1, [])
    assert (erased["database"], erased["overwritten"]) == (web.runtime.store.database, not web.runtime.store.is_shared)
    kept = (await operator.post("/users/export", {"sender_id": user.sender})).json["user"]
    assert [kept[name] for name in ("handoffs", "desk_chats", "stream", "kept", "seen")] == [[], [], [], [], []]


async def test_an_export_can_save_the_files(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    await web.agent_online()
    user, _ = await web.waiting_user()
    files = [(await user.gives(body, "Zähler: 1.jpg", "image/jpeg")).json["file"] for body in (b"one", b"x" * 300_000)]
    monkeypatch.setenv("HANDOFF_URL", web.url.removesuffix("/webhooks/handoff"))
    monkeypatch.setenv("HANDOFF_TOKEN", SERVER_TOKEN)
    folder = tmp_path / "files"
    command = ["users", "export", user.sender, "--out", f"{tmp_path}/ann.json", "--files", str(folder)]
    assert await asyncio.to_thread(cli.main, command) == cli.FINE
    assert "2 files" in capsys.readouterr().out
    saved = {path.name: path.read_bytes() for path in folder.iterdir()}
    names = [f"{file['id']} Zähler: 1.jpg" for file in files]
    assert saved == {names[0]: b"one", names[1]: b"x" * 300_000}
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / names[0])] == [0o700, 0o600]
    assert await asyncio.to_thread(cli.main, command) == cli.FAILED
    assert f"{folder}: is there already" in capsys.readouterr().err


async def _has(web: Web, chat: str, words: str) -> bool:
    bo = await web.agent("Bo")
    return words in str(await bo.look_at(chat))


async def test_consoles_and_pages_do_not_go_on_with_what_is_erased(web_on_each: Web) -> None:
    """Their streams end, so that they come again and ask for what there is."""
    web = web_on_each
    bo = await web.agent("Bo")
    console = await bo.come()
    user, chat = await web.waiting_user()
    page = await user.comes()
    await page.next("hello")
    operator = await web.operator()
    answer = await operator.post("/users/erase", {"sender_id": user.sender, "close": True})
    assert answer.status == 200, answer
    assert await console.is_over()
    assert await page.is_over()
    chats = await bo.chats()
    assert chat not in [each["id"] for name in ("waiting", "open", "closed") for each in chats[name]]
    assert (await bo.get(f"/desk/api/chats/{chat}")).status == 404
    again = await user.comes(after="0")
    assert (await again.next()).data["handoff"] is None


async def test_a_user_with_an_agent_is_not_erased_by_mistake(web: Web) -> None:
    await web.agent_online()
    user, chat = await web.waiting_user()
    operator = await web.operator()
    answer = await operator.post("/users/erase", {"sender_id": user.sender})
    assert (answer.status, answer.code) == (409, "open")
    assert (await operator.get(f"/handoffs?sender_id={user.sender}")).json["handoff"]["id"] == chat
    answer = await operator.post("/users/erase", {"sender_id": user.sender, "close": "yes"})
    assert (answer.status, answer.code) == (400, "malformed")


async def test_a_user_who_is_erased_can_come_again(web_on_each: Web) -> None:
    """They are somebody new, though they have the name they had."""
    web = web_on_each
    bo = await web.agent_online()
    user, chat = await web.waiting_user()
    operator = await web.operator()
    await operator.post("/users/erase", {"sender_id": user.sender, "close": True})
    page = await user.comes()
    handoff = await user.asks_for_an_agent()
    assert handoff["status"] == "queued"
    assert handoff["id"] != chat
    assert (await bo.accept(handoff["id"])).status == 200
    await page.until(lambda event: event.name == "handoff" and event.data["status"] == "active")


async def test_links_to_what_was_said_open_nothing_any_more(web: Web) -> None:
    await web.agent_online()
    user, _ = await web.waiting_user(transcript=[{"who": "user", "text": "a person, please", "at": 1.0}])
    handoff = await web.runtime.switchboard.holder(user.sender)
    assert handoff is not None
    link = "/history/" + web.runtime.history_url(handoff).rpartition("/")[2]
    stranger = await web.stranger()
    assert (await stranger.get(link)).status == 200
    await (await web.operator()).post("/users/erase", {"sender_id": user.sender, "close": True})
    assert (await stranger.get(link)).status == 404
