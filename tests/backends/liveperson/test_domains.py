"""The Domain API: each host is looked up when it is needed, once, and again when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from rasa_handoff.backends.http import Http
from rasa_handoff.backends.liveperson.domains import GOOD_FOR, SOONEST_AGAIN, Domains, read_host, require_base
from rasa_handoff.errors import BackendError, Malformed, TemporaryError
from rasa_handoff.testing import Wire
from rasa_handoff.testing.waiting import until

PATH = "/api/account/42257269/service/asyncMessagingEnt/baseURI.json"
NOON = 1_764_244_800.0


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> float:
        return self.time


def entry(host: str = "va.msg.liveperson.net", service: str = "asyncMessagingEnt") -> dict[str, Any]:
    return {"service": service, "account": "42257269", "baseURI": host}


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        wire.when("GET", PATH, 200, entry())
        yield wire


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def http() -> AsyncIterator[Http]:
    http = Http("liveperson", timeout=20.0)
    yield http
    await http.close()


@pytest.fixture
def domains(wire: Wire, http: Http, clock: Clock) -> Domains:
    return Domains(http, "42257269", base=wire.url, now=clock)


async def test_a_host_is_asked_for_by_the_services_name(wire: Wire, domains: Domains) -> None:
    assert await domains.get("asyncMessagingEnt") == "va.msg.liveperson.net"
    assert [(asked.path, asked.query) for asked in wire.asked] == [(PATH, {"version": "1.0"})]


async def test_the_list_that_the_page_shows_is_read_as_well(wire: Wire, domains: Domains) -> None:
    wire.when("GET", PATH, 200, {"baseURIs": [entry("other.example.com", "idp"), entry()]})
    assert await domains.get("asyncMessagingEnt") == "va.msg.liveperson.net"


async def test_a_host_is_kept_and_looked_up_again_after_hours(wire: Wire, domains: Domains, clock: Clock) -> None:
    await domains.get("asyncMessagingEnt")
    clock.time += GOOD_FOR - 1
    await domains.get("asyncMessagingEnt")
    assert len(wire.asked) == 1
    clock.time += 1
    wire.when("GET", PATH, 200, entry("lo.msg.liveperson.net"))
    assert await domains.get("asyncMessagingEnt") == "lo.msg.liveperson.net"


async def test_it_is_looked_up_once_however_many_wait(wire: Wire, domains: Domains) -> None:
    wire.stall(0.1)
    hosts = await asyncio.gather(*(domains.get("asyncMessagingEnt") for _ in range(50)))
    assert (set(hosts), len(wire.asked)) == ({"va.msg.liveperson.net"}, 1)


async def test_who_gives_up_waiting_does_not_take_it_from_the_others(wire: Wire, domains: Domains) -> None:
    with wire.held():
        first = asyncio.create_task(domains.get("asyncMessagingEnt"))
        second = asyncio.create_task(domains.get("asyncMessagingEnt"))
        await until(lambda: wire.asked)
        first.cancel()
    assert (await second, len(wire.asked)) == ("va.msg.liveperson.net", 1)


async def test_a_forgotten_host_is_looked_up_again(wire: Wire, domains: Domains, clock: Clock) -> None:
    await domains.get("asyncMessagingEnt")
    wire.when("GET", PATH, 200, entry("lo.msg.liveperson.net"))
    clock.time += SOONEST_AGAIN
    domains.forget("asyncMessagingEnt")
    assert await domains.get("asyncMessagingEnt") == "lo.msg.liveperson.net"


async def test_a_host_that_keeps_failing_is_not_looked_up_all_the_time(
    wire: Wire, domains: Domains, clock: Clock
) -> None:
    await domains.get("asyncMessagingEnt")
    for _ in range(10):
        domains.forget("asyncMessagingEnt")
        await domains.get("asyncMessagingEnt")
    assert len(wire.asked) == 1


async def test_an_old_host_is_better_than_none(wire: Wire, domains: Domains, clock: Clock) -> None:
    await domains.get("asyncMessagingEnt")
    clock.time += GOOD_FOR
    wire.fail(503)
    assert await domains.get("asyncMessagingEnt") == "va.msg.liveperson.net"
    clock.time += SOONEST_AGAIN
    wire.when("GET", PATH, 200, entry("lo.msg.liveperson.net"))
    assert await domains.get("asyncMessagingEnt") == "lo.msg.liveperson.net"


async def test_a_look_that_fails_now_is_tried_again_by_the_next_who_asks(wire: Wire, domains: Domains) -> None:
    wire.fail(503)
    with pytest.raises(TemporaryError):
        await domains.get("asyncMessagingEnt")
    assert await domains.get("asyncMessagingEnt") == "va.msg.liveperson.net"


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_an_account_they_do_not_know_is_an_error_for_good(wire: Wire, domains: Domains, status: int) -> None:
    wire.when("GET", PATH, status, {})
    with pytest.raises(BackendError, match=f"could not look up its domains: HTTP {status}") as found:
        await domains.get("asyncMessagingEnt")
    assert not isinstance(found.value, TemporaryError)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"baseURIs": []},
        {"baseURIs": "x"},
        {"baseURIs": ["x"]},
        {"baseURIs": [entry(service="idp")]},
        entry(service="idp"),
        entry("https://va.msg.liveperson.net"),
        entry("evil.example.com/path"),
        entry("user@evil.example.com"),
        entry(""),
    ],
)
async def test_an_answer_that_names_no_host_is_an_error(wire: Wire, domains: Domains, body: Any) -> None:
    wire.when("GET", PATH, 200, body)
    with pytest.raises(Malformed):
        read_host(body, "asyncMessagingEnt")
    with pytest.raises(BackendError, match="could not look up its domains"):
        await domains.get("asyncMessagingEnt")


async def test_addresses_have_tls_unless_everything_is_on_this_machine(http: Http, wire: Wire, clock: Clock) -> None:
    here = Domains(http, "42257269", base=wire.url, now=clock)
    there = Domains(http, "42257269", now=clock)
    there._found = here._found  # what is served elsewhere cannot be asked for in a test
    assert await here.url("asyncMessagingEnt", "/a") == "http://va.msg.liveperson.net/a"
    assert await there.url("asyncMessagingEnt", "/a") == "https://va.msg.liveperson.net/a"


async def test_a_service_without_a_connection_is_looked_up_again(wire: Wire, domains: Domains, clock: Clock) -> None:
    with Wire() as gone:
        wire.when("GET", PATH, 200, entry(gone.url.removeprefix("http://")))
        assert (await domains.ask("asyncMessagingEnt", "ask", "GET", "/a")).status == 200
        gone.down()  # and nobody else has its port
        clock.time += SOONEST_AGAIN
        with pytest.raises(TemporaryError):
            await domains.ask("asyncMessagingEnt", "ask", "GET", "/a")
    wire.when("GET", PATH, 200, entry(wire.url.removeprefix("http://")))
    assert (await domains.ask("asyncMessagingEnt", "ask", "GET", "/a")).status == 200


async def test_a_service_that_answers_with_an_error_is_where_it_was(wire: Wire, domains: Domains, clock: Clock) -> None:
    wire.when("GET", PATH, 200, entry(wire.url.removeprefix("http://")))
    wire.fail(503, path="/a")
    with pytest.raises(TemporaryError):
        await domains.ask("asyncMessagingEnt", "ask", "GET", "/a")
    clock.time += SOONEST_AGAIN
    await domains.ask("asyncMessagingEnt", "ask", "GET", "/a")
    assert len(wire.taken("GET", PATH)) == 1


@pytest.mark.parametrize("text", ["http://api.example.com", "ftp://127.0.0.1", "x", "https://api.example.com?a=b"])
def test_a_base_that_would_carry_secrets_in_the_clear_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        require_base(text)


@pytest.mark.parametrize("text", ["https://api.liveperson.net", "http://127.0.0.1:8080", "http://localhost"])
def test_a_base_with_tls_or_on_this_machine_is_taken(text: str) -> None:
    require_base(text)
