"""The page with what was said before a handoff: for whoever has the link, as long as it lasts."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rasa_handoff import signing
from rasa_handoff.model import Handoff, Line, Request, Status
from rasa_handoff.store import retention
from rasa_handoff.web import logs
from rasa_handoff.web.history import as_html
from rasa_handoff.web.pages import POLICY
from tests.stage import Stage, Time
from tests.web_stage import Answer, Client, Web, open_web

MORNING = 1763622000.0  #: 2025-11-20 07:00 UTC
TRANSCRIPT = [
    {"who": "user", "text": "Hello, is my bike ready?", "at": MORNING},
    {"who": "bot", "text": "I cannot say.\nShall I get a person?", "at": MORNING + 60},
    {"who": "user", "text": "Yes & thanks <3 🚲", "at": MORNING + 86_400},
]
HANDOFF = Handoff(
    id="6a2d01cc-126d-4f00-bbcf-4c281bff4374",
    sender_id="ann",
    channel="<b>rest</b>",
    backend="desk",
    status=Status.QUEUED,
    opened_at=MORNING + 86_460,
)


async def asked(web: Web) -> Handoff:
    """A handoff of somebody who said the lines above."""
    await web.agent_online()
    found = await web.open("ann", transcript=TRANSCRIPT)
    return replace(HANDOFF, id=found["id"])


async def visit(web: Web, link: str, **headers: str) -> Answer:
    """Whoever has the link opens it; they have no token of ours."""
    visitor: Client = await web.stranger(**headers)
    return await visitor.get(link.removeprefix(web.url), headers={"Accept": "*/*", **headers})


def link(web: Web, handoff: Handoff) -> str:
    """The link that an agent system gets."""
    found = web.runtime.history_url(handoff)
    web.secrets.add(found.rpartition("/")[2])
    return web.url + found.partition("/webhooks/handoff")[2]


async def test_a_link_shows_what_was_said_to_a_person(web: Web) -> None:
    answer = await visit(web, link(web, await asked(web)), Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    page = answer.body.decode()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    for words in ("Hello, is my bike ready?", "Thursday, 20 November 2025", "07:01", "Yes &amp; thanks &lt;3 🚲"):
        assert words in page
    assert page.index("I cannot say.") < page.index("Friday, 21 November 2025") < page.index("Yes &amp;")


@pytest.mark.parametrize(("suffix", "accept"), [(".json", "*/*"), ("", "application/json"), (".json", "text/html")])
async def test_a_program_gets_the_same_as_json(web: Web, suffix: str, accept: str) -> None:
    handoff = await asked(web)
    answer = await visit(web, link(web, handoff) + suffix, Accept=accept)
    assert answer.json["transcript"] == TRANSCRIPT
    assert answer.json["id"] == handoff.id
    assert set(answer.json) == {"id", "channel", "opened_at", "transcript"}


async def test_the_page_loads_nothing_from_elsewhere_and_is_kept_nowhere(web: Web) -> None:
    page = link(web, await asked(web))
    answer = await visit(web, page)
    headers = answer.headers
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Robots-Tag"] == "noindex, nofollow"
    assert "<script" not in answer.body.decode()
    assert "style=" not in answer.body.decode()
    files = re.findall(r'href="([^"]+)"', answer.body.decode())
    assert sorted(files) == ["history.css", "page.css", "page.svg"]
    for name in files:
        found = await visit(web, f"{page.rpartition('/')[0]}/{name}")
        assert (found.status, found.body != b"") == (200, True)


@pytest.mark.parametrize("how", ["none", "altered", "of another purpose", "of another server", "expired"])
async def test_only_a_good_link_opens_anything(web: Web, how: str) -> None:
    handoff = await asked(web)
    base, _, token = link(web, handoff).rpartition("/")
    secret, value = web.runtime.access.secret, handoff.id
    assert (await visit(web, f"{base}/{signing.sign(secret, 'history', value, 4e9)}")).status == 200
    wrong = {
        "none": "x",
        "altered": token[:-1] + ("0" if token[-1] != "0" else "1"),
        "of another purpose": signing.sign(secret, "conversation", value, 4e9),
        "of another server": signing.sign("another secret", "history", value, 4e9),
        "expired": signing.sign(secret, "history", value, 1.0),
    }[how]
    for_people = await visit(web, f"{base}/{wrong}")
    assert for_people.status == 404
    assert "This link opens nothing" in for_people.body.decode()
    assert for_people.headers["Content-Security-Policy"] == POLICY
    for_programs = await visit(web, f"{base}/{wrong}.json")
    assert (for_programs.status, for_programs.code) == (404, "unknown")


async def test_a_link_lasts_as_long_as_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_web(f"sqlite:///{tmp_path}/handoff.db", tmp_path, history_links="1h") as web:
        handoff = await asked(web)
        for minutes_ago, status in ((0, 200), (59, 200), (61, 404)):
            monkeypatch.setattr(web.runtime, "_now", lambda ago=minutes_ago: time.time() - ago * 60)
            assert (await visit(web, link(web, handoff))).status == status


async def test_a_link_to_a_deleted_conversation_opens_nothing(web: Web) -> None:
    handoff = await asked(web)
    page = link(web, handoff)
    operator = await web.operator()
    await operator.post("/handoffs/close", {"id": handoff.id})

    async def deleted() -> Any:
        return await web.runtime.store.write(lambda tx: retention.delete_old(tx, 4e9))

    await web.until(deleted)
    assert (await visit(web, page)).status == 404


@pytest.mark.parametrize(
    ("path", "token"), [("history", "aGk.1.ff"), ("media", "aGk.1.ff/bike.jpg"), ("liveperson/files", "aGk.1.ff")]
)
async def test_no_link_gets_into_the_server_s_log(path: str, token: str) -> None:
    url = f"http://127.0.0.1/webhooks/handoff/{path}/"
    record = logging.LogRecord("sanic.access", logging.INFO, "", 0, f"Exception at {url}{token}", (), None)
    record.request = f"GET {url}{token}?x=1"
    logs.install()
    for each in logging.getLogger("sanic.access").filters:
        each.filter(record)
    assert record.request == f"GET {url}***?x=1"
    assert record.getMessage() == f"Exception at {url}***"


async def test_links_begin_with_the_public_address(database: str, tmp_path: Path, time: Time) -> None:
    stage = Stage(database, tmp_path, time, public_url="https://bot.example.com/rasa/")
    await stage.up()
    found = stage.runtime.history_url(HANDOFF)
    await stage.down()
    assert found.startswith("https://bot.example.com/rasa/webhooks/handoff/history/")


# -- the page's text --------------------------------------------------------------------------


def html(*lines: Line) -> str:
    return as_html(HANDOFF, Request(sender_id="ann", channel="rest", transcript=lines))


def test_what_people_wrote_is_text() -> None:
    page = html(Line(who="user", text="<script>alert(1)</script> & \"quoted\" 'so'", at=MORNING))
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quoted&quot; &#x27;so&#x27;" in page
    assert "&lt;b&gt;rest&lt;/b&gt;" in page


def test_an_empty_transcript_says_so() -> None:
    assert "Nothing was said, or it is not shown." in html()


def test_a_line_whose_time_nobody_knows_has_none() -> None:
    page = html(Line(who="bot", text="Hi"))
    assert "Hi" in page
    assert "<time" not in page
    assert "1970" not in page


def test_the_user_is_told_apart_from_the_bot() -> None:
    page = html(Line(who="user", text="one", at=MORNING), Line(who="bot", text="two", at=MORNING))
    assert re.findall(r'<li class="([^"]+)"><p class=name>(\w+)', page) == [("line mine", "User"), ("line", "Bot")]
