"""Agents' files in Slack: uploaded where the bot may, and never lost where it may not."""

from __future__ import annotations

import json
import time
import warnings
from typing import Any, cast
from urllib.parse import parse_qs

import pytest

from rasa_handoff.channels.notes import ANEW
from rasa_handoff.channels.slack import uploads
from rasa_handoff.channels.slack.channel import Slack
from rasa_handoff.model import Attachment, Handoff
from rasa_handoff.testing.wire import Asked
from tests.channels.agent_files import BILL, CONTENT, FILM, HOST, SONG, kept, serve
from tests.channels.line import Line
from tests.channels.slack.test_slack import CHANNEL, DM, PAYLOADS, THREAD, USER, answer, event, hook, posted, threaded
from tests.channels.slack.test_slack import line as line  # the fixture
from tests.internet import Internet

PLACE, DONE, INFO = "/api/files.getUploadURLExternal", "/api/files.completeUploadExternal", "/api/files.info"
SHARED = {"ok": True, "file": {"id": "F1", "shares": {"private": {DM: [{"ts": "1.1"}]}}}}
MISSING = {"ok": False, "error": "missing_scope", "needed": "files:write", "provided": "chat:write"}


def params(asked: Asked) -> dict[str, str]:
    """What a method was asked with, wherever it stands."""
    if asked.headers.get("content-type", "").startswith("application/json"):
        return dict(asked.json)
    return {**asked.query, **{name: values[0] for name, values in parse_qs(asked.body.decode()).items()}}


def slack_takes_files(line: Line, internet: Internet) -> None:
    place = {"ok": True, "upload_url": "https://files.slack.com/upload/v1/secret", "file_id": "F1"}
    for method in ("GET", "POST"):
        internet.when(method, PLACE, body=place)
        internet.when(method, INFO, body=SHARED)
    internet.when("POST", "/upload/v1/*", body=b"OK - 15")
    internet.when("POST", DONE, body={"ok": True, "files": [{"id": "F1", "title": "bill.pdf"}]})
    serve(internet, channel(line).uploads._files)


def channel(line: Line) -> Slack:
    return cast("Slack", line.channels.named("slack"))


async def started(line: Line, internet: Internet) -> Handoff:
    """A handoff of a user who has written, where Slack takes files."""
    slack_takes_files(line, internet)
    return await line.begin(USER, hook(line, PAYLOADS["message_im"]))


def asked(internet: Internet, path: str) -> list[dict[str, str]]:
    return [params(each) for each in internet.asked_of("slack.com") if each.path == path]


def links(internet: Internet) -> list[str]:
    return [each["text"] for each in posted(internet) if HOST in each["text"]]


@pytest.mark.parametrize("attachment", [BILL, SONG, FILM], ids=lambda each: each.kind)
async def test_a_file_is_uploaded_under_the_agents_name(line: Line, internet: Internet, attachment: Attachment) -> None:
    handoff = await started(line, internet)
    await line.reply(handoff, "Here it is", attachments=(attachment,))
    (place,), (done,) = asked(internet, PLACE), asked(internet, DONE)
    assert (place["filename"], int(place["length"])) == (attachment.name, len(CONTENT))
    (upload,) = internet.taken("POST", "/upload/v1/*")
    assert (upload.body, upload.headers["host"]) == (CONTENT, "files.slack.com")
    assert json.loads(done["files"]) == [{"id": "F1", "title": attachment.name}]
    assert (done["channel_id"], done["username"], done["icon_url"]) == (DM, "Bo", "https://desk.test/bo.png")
    assert "thread_ts" not in done
    assert links(internet) == []


async def test_a_file_of_the_desks_is_uploaded_from_where_it_is_kept(line: Line, internet: Internet) -> None:
    """Nothing is asked of the address in its link, which may be one that this server cannot reach."""
    handoff = await started(line, internet)
    await line.reply(handoff, attachments=(await kept(line, handoff, content := b"x" * 600_000),))
    (upload,) = internet.taken("POST", "/upload/v1/*")
    assert upload.body == content
    assert asked(internet, DONE)[0]["channel_id"] == DM
    assert internet.asked_of("bot.test") == []


async def test_a_large_file_holds_nobody_up(line: Line, internet: Internet) -> None:
    handoff = await started(line, internet)
    serve(internet, channel(line).uploads._files, large := b"x" * 2_000_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)  # aiohttp's, of a body that is not sent in parts
        await line.reply(handoff, attachments=(BILL,))
    (upload,) = internet.taken("POST", "/upload/v1/*")
    assert (upload.body, upload.headers["content-length"]) == (large, "2000000")


@threaded
async def test_a_file_is_uploaded_into_the_users_thread(line: Line, internet: Internet) -> None:
    slack_takes_files(line, internet)
    handoff = await line.hand_over(f"{USER}_{CHANNEL}_{THREAD}")
    await hook(line, event("app_mention", thread_ts=THREAD))
    await line.heard()
    await line.reply(handoff, attachments=(BILL,))
    (done,) = asked(internet, DONE)
    assert (done["channel_id"], done["thread_ts"]) == (CHANNEL, THREAD)


async def test_the_bots_token_stays_with_slacks_api(line: Line, internet: Internet) -> None:
    handoff = await started(line, internet)
    await line.reply(handoff, attachments=(BILL,))
    others = [*internet.asked_of(HOST), *internet.asked_of("files.slack.com")]
    assert len(others) == 2
    assert not any("authorization" in each.headers for each in others)


async def test_without_the_scope_files_come_as_links_and_slack_is_not_asked_each_time(
    line: Line, internet: Internet
) -> None:
    handoff = await started(line, internet)
    for method in ("GET", "POST"):
        internet.when(method, PLACE, body=MISSING)
    await line.reply(handoff, attachments=(BILL, SONG))
    await line.reply(handoff, attachments=(FILM,))
    assert links(internet) == [f"<{each.url}|{each.name}>" for each in (BILL, SONG, FILM)]
    assert len(asked(internet, PLACE)) == 1
    channel(line).uploads._now = lambda: time.time() + 2 * ANEW
    slack_takes_files(line, internet)
    await line.reply(handoff, attachments=(BILL,))
    assert len(asked(internet, DONE)) == 1


@pytest.mark.parametrize("why", ["gone", "too large", "a page", "private"])
async def test_a_file_that_cannot_be_had_comes_as_a_link(line: Line, internet: Internet, why: str) -> None:
    handoff = await started(line, internet)
    files = channel(line).uploads._files
    if why == "gone":
        internet.when("GET", "/bill.pdf", 404)
    elif why == "too large":
        files._largest = len(CONTENT) - 1
    elif why == "a page":
        serve(internet, files, b"<html>sign in", "text/html; charset=utf-8")
    else:
        files._porter._fetcher._trusted = frozenset()
    await line.reply(handoff, attachments=(BILL,))
    assert links(internet) == [f"<{BILL.url}|bill.pdf>"]
    assert asked(internet, PLACE) == []


async def test_a_file_that_slack_does_not_take_comes_as_a_link(line: Line, internet: Internet) -> None:
    handoff = await started(line, internet)
    internet.fail(500, path="/upload/v1/*")
    await line.reply(handoff, attachments=(BILL,))
    assert links(internet) == [f"<{BILL.url}|bill.pdf>"]
    assert asked(internet, DONE) == []


async def test_a_place_on_the_map_is_no_file(line: Line, internet: Internet) -> None:
    handoff = await started(line, internet)
    await line.reply(handoff, attachments=(Attachment(url=f"https://{HOST}/map", kind="location"),))
    assert links(internet) == [f"https://{HOST}/map"]
    assert internet.asked_of(HOST) == []


async def test_a_picture_that_slack_cannot_load_is_uploaded(line: Line, internet: Internet) -> None:
    def refuse_blocks(asked: Asked) -> tuple[int, Any]:
        return (200, {"ok": False, "error": "invalid_blocks"}) if b"blocks" in asked.body else answer(asked)

    handoff = await started(line, internet)
    internet.respond("POST", "/api/chat.postMessage", refuse_blocks)
    internet.respond("GET", "/cat.webp", lambda asked: (200, b"RIFF", {"Content-Type": "image/webp"}))
    await line.reply(handoff, attachments=(Attachment(url=f"https://{HOST}/cat.webp", kind="image"),))
    assert [each["filename"] for each in asked(internet, PLACE)] == ["cat.webp"]
    assert len(asked(internet, DONE)) == 1


async def test_what_is_said_behind_a_file_comes_behind_it(line: Line, internet: Internet) -> None:
    """Slack shows a file only a while after it was shared."""
    handoff = await started(line, internet)
    looks = iter([{"ok": True, "file": {"id": "F1", "shares": {}}}, SHARED])
    for method in ("GET", "POST"):
        internet.respond(method, INFO, lambda asked: (200, next(looks)))
    await line.reply(handoff, attachments=(BILL,))
    await line.reply(handoff, "There it is")
    order = [each.path for each in internet.asked_of("slack.com")][-4:]
    assert order == [DONE, INFO, INFO, "/api/chat.postMessage"]


@pytest.mark.parametrize(
    "told", [{"ok": True, "file": {"id": "F1", "shares": {}}}, {"ok": False, "error": "ratelimited"}]
)
async def test_a_file_that_slack_is_long_in_showing_holds_nothing_up(
    line: Line, internet: Internet, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any]
) -> None:
    monkeypatch.setattr(uploads, "SHOWN_IN", 0.1)
    handoff = await started(line, internet)
    for method in ("GET", "POST"):
        internet.when(method, INFO, body=told)
    await line.reply(handoff, attachments=(BILL,))
    await line.reply(handoff, "There it is")
    assert posted(internet)[-1]["text"] == "There it is"
    assert (len(asked(internet, DONE)), links(internet), await line.dead()) == (1, [], [])


async def test_slack_too_busy_for_a_file_is_asked_again(line: Line, internet: Internet) -> None:
    handoff = await started(line, internet)
    internet.fail(429, path=PLACE, Retry_After="0")
    await line.reply(handoff, attachments=(BILL,))
    assert len(asked(internet, DONE)) == 1
    assert links(internet) == []


async def test_an_answer_that_got_lost_uploads_nothing_a_second_time(line: Line, internet: Internet) -> None:
    """Slack's library asks twice by itself; the third time it is tried again by us."""
    handoff = await started(line, internet)
    internet.hang_up(times=2, path=DONE)
    await line.reply(handoff, attachments=(BILL,))
    assert [json.loads(each["files"])[0]["id"] for each in asked(internet, DONE)] == ["F1"] * 3
    assert len(internet.taken("POST", "/upload/v1/*")) == 1
    assert links(internet) == []


@pytest.mark.parametrize("is_shared", [True, False])
async def test_a_file_that_was_shared_before_the_answer_got_lost_does_not_come_twice(
    line: Line, internet: Internet, is_shared: bool
) -> None:
    """Slack lets nobody share it a second time; whether people see it, it tells."""
    handoff = await started(line, internet)
    shares = {"private": {DM: [{"ts": "1.1"}]}} if is_shared else {}
    for method in ("GET", "POST"):
        internet.when(method, INFO, body={"ok": True, "file": {"id": "F1", "shares": shares}})
    internet.hang_up(path=DONE)
    internet.when("POST", DONE, body={"ok": False, "error": "file_not_found"})
    await line.reply(handoff, attachments=(BILL,))
    assert links(internet) == ([] if is_shared else [f"<{BILL.url}|bill.pdf>"])
    assert await line.dead() == []


async def test_without_the_scope_for_names_the_file_comes_all_the_same(line: Line, internet: Internet) -> None:
    def refuse_names(asked: Asked) -> tuple[int, Any]:
        missing = {"ok": False, "error": "missing_scope", "needed": "chat:write.customize"}
        return 200, missing if "username" in params(asked) else {"ok": True, "files": [{"id": "F1"}]}

    handoff = await started(line, internet)
    internet.respond("POST", DONE, refuse_names)
    await line.reply(handoff, attachments=(BILL,))
    assert ["username" in each for each in asked(internet, DONE)] == [True, False]
    assert links(internet) == []
