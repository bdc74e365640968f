"""HTTP to an agent system: what came back, sorted into success, again and never."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from rasa_handoff.backends.http import LARGEST_ANSWER, Http, Reply, retry_after
from rasa_handoff.errors import BackendError, ChatGone, TemporaryError
from rasa_handoff.testing import Wire

TOO_LARGE = b"x" * (LARGEST_ANSWER + 1)


@pytest_asyncio.fixture
async def http() -> AsyncIterator[Http]:
    http = Http("acme", timeout=20.0)
    yield http
    await http.close()


async def test_a_success_is_given_with_its_body(wire: Wire, http: Http) -> None:
    wire.when("POST", "/a", 201, {"b": 1})
    reply = await http.ask("ask", "POST", f"{wire.url}/a", body={"c": "ü"}, headers={"X-D": "e"})
    assert (reply.status, reply.json("acme", "ask")) == (201, {"b": 1})
    assert (wire.asked[0].json, wire.asked[0].headers["x-d"]) == ({"c": "ü"}, "e")


async def test_a_large_body_goes_out_in_parts_between_which_others_have_their_turn(wire: Wire, http: Http) -> None:
    large = b"x" * 2_000_000
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)  # aiohttp's, of a body that holds the event loop up
        await http.ask("upload", "POST", f"{wire.url}/a", body=large, headers={"Content-Type": "image/png"})
    (asked,) = wire.asked
    assert asked.body == large
    assert (asked.headers["content-type"], asked.headers["content-length"]) == ("image/png", "2000000")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (302, BackendError),
        (400, BackendError),
        (404, BackendError),
        (410, ChatGone),
        (408, TemporaryError),
        (425, TemporaryError),
        (429, TemporaryError),
        (500, TemporaryError),
        (503, TemporaryError),
    ],
)
@pytest.mark.parametrize("heed", [True, False])
async def test_what_is_no_success_is_sorted(
    wire: Wire, http: Http, status: int, error: type[Exception], heed: bool
) -> None:
    wire.fail(status)
    with pytest.raises(BackendError) as found:
        await http.ask("ask", "POST", wire.url, body={}, heed=heed)
    assert type(found.value) is error
    assert f"HTTP {status}" in str(found.value)


async def test_a_refusal_can_be_read_unless_it_is_for_another_time(wire: Wire, http: Http) -> None:
    also = range(400, 500)
    wire.when("POST", "/*", 422, {"why": "no"})
    reply = await http.ask("ask", "POST", wire.url, body={}, also=also)
    assert (reply.status, reply.json("acme", "ask")) == (422, {"why": "no"})
    for status, error in ((429, TemporaryError), (410, ChatGone), (503, TemporaryError)):
        wire.fail(status)
        with pytest.raises(error):
            await http.ask("ask", "POST", wire.url, body={}, also=also)


async def test_a_request_can_have_more_time_than_others(wire: Wire) -> None:
    http = Http("acme", timeout=0.1)
    for timeout, late, patient in ((None, 60.0, False), (20.0, 0.3, True)):
        wire.stall(late)
        try:
            await http.ask("ask", "POST", wire.url, body={}, timeout=timeout)
        except TemporaryError:
            assert not patient
        else:
            assert patient
    await http.close()


async def test_nobody_there_is_worth_another_try(wire: Wire, http: Http) -> None:
    wire.down()
    with pytest.raises(TemporaryError):
        await http.ask("ask", "POST", wire.url, body={})


async def test_an_answer_that_is_too_large_is_refused_where_it_matters(wire: Wire, http: Http) -> None:
    wire.when("POST", "/", 200, TOO_LARGE)
    with pytest.raises(BackendError, match="larger than 64 kB"):
        await http.ask("ask", "POST", f"{wire.url}/", body={})


@pytest.mark.parametrize("body", [b"", b"\xff", b"not json", TOO_LARGE], ids=len)
async def test_where_it_does_not_matter_any_body_is_a_success(wire: Wire, http: Http, body: bytes) -> None:
    wire.when("POST", "/", 200, body)
    reply = await http.ask("ask", "POST", f"{wire.url}/", body={}, heed=False)
    assert (reply.status, reply.body) == (200, b"")
    assert (await http.ask("ask", "POST", f"{wire.url}/", body={}, heed=False)).status == 200


async def test_a_pause_that_is_asked_for_is_passed_on(wire: Wire, http: Http) -> None:
    wire.fail(429, retry_after="7")
    with pytest.raises(TemporaryError) as found:
        await http.ask("ask", "POST", wire.url, body={})
    assert found.value.retry_after == 7.0


@pytest.mark.parametrize("given", ["", "soon", "-1", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_pause_that_is_none(given: str) -> None:
    assert not retry_after({"Retry-After": given})


async def test_who_knows_the_bodies_judges_replies(wire: Wire, http: Http) -> None:
    def judge(reply: Reply) -> None:
        if b"gone" in reply.body:
            raise ChatGone("acme", "ask")

    wire.when("POST", "/a", 500, {"error": "gone"})
    with pytest.raises(ChatGone):
        await http.ask("ask", "POST", f"{wire.url}/a", body={}, judge=judge)
    wire.when("POST", "/a", 500, {"error": "other"})
    assert (await http.ask("ask", "POST", f"{wire.url}/a", body={}, judge=judge)).status == 500


async def test_a_larger_answer_where_one_is_expected(wire: Wire, http: Http) -> None:
    wire.when("GET", "/a", 200, TOO_LARGE)
    reply = await http.ask("ask", "GET", f"{wire.url}/a", largest=2 * len(TOO_LARGE))
    assert reply.body == TOO_LARGE
    with pytest.raises(BackendError, match="larger than 64 kB"):
        await http.ask("ask", "GET", f"{wire.url}/a")
