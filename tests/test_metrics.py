"""What happens is counted once, where it is committed, and told in the format of Prometheus."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from rasa_handoff.backends.avaamo import Avaamo
from rasa_handoff.backends.base import Opened
from rasa_handoff.changes import Moved
from rasa_handoff.errors import BackendError, ConfigError, TemporaryError, Unavailable
from rasa_handoff.events import AgentAway, AgentJoined, AgentMessage, Closed
from rasa_handoff.metrics import Metrics
from rasa_handoff.model import EndReason, Handoff, Person, Rating, Request, Status
from rasa_handoff.testing.calls import Call
from rasa_handoff.testing.stage import on_stage
from tests.stage import Recorder, Stage, Time
from tests.web_stage import Client, Web, open_web

BO = Person(name="Bo", id="bo")


def counted(metrics: Metrics) -> dict[str, float]:
    """What is not 0, as a text of Prometheus writes it, without the backend and without buckets."""
    found = {}
    for family in metrics.collect():
        for sample in family.samples:
            if sample.value and not sample.name.endswith("_bucket"):
                words = ",".join(value for name, value in sorted(sample.labels.items()) if name != "backend" and value)
                found[f"{sample.name.removeprefix('handoff_')}{{{words}}}" if words else sample.name[8:]] = sample.value
    return found


def about(words: str, metrics: Metrics) -> dict[str, float]:
    """What was counted whose name begins so."""
    return {name: value for name, value in counted(metrics).items() if name.startswith(words)}


async def joined(stage: Stage, handoff: Handoff) -> None:
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=BO))


class TestHandoffs:
    async def test_a_whole_one(self, stage: Stage) -> None:
        handoff = await stage.request()
        stage.pass_time(30)
        await joined(stage, handoff)
        stage.pass_time(10)
        await stage.happen(AgentMessage(chat_id=handoff.id, text="Hello"))
        await stage.say("Hi")
        stage.pass_time(20)
        await stage.happen(AgentMessage(chat_id=handoff.id, text="Bye"))
        await stage.happen(Closed(chat_id=handoff.id))
        await stage.notices()
        found = counted(stage.runtime.metrics)
        attempts = {name: found.pop(name) for name in list(found) if name.startswith("delivery_attempts")}
        assert found == {
            "requests_total": 1,
            "opened_total": 1,
            "closed_total{agent_closed}": 1,
            "wait_seconds_count{taken}": 1,
            "wait_seconds_sum{taken}": 30,
            "first_reply_seconds_count": 1,
            "first_reply_seconds_sum": 40,
            "duration_seconds_count": 1,
            "duration_seconds_sum": 60,
            "messages_total{to_agent}": 1,
            "messages_total{to_user}": 2,
        }
        assert set(attempts) == {"delivery_attempts_total{delivered,agent}", "delivery_attempts_total{delivered,user}"}

    async def test_one_whose_user_did_not_wait(self, stage: Stage) -> None:
        await stage.request()
        stage.pass_time(90)
        await stage.runtime.switchboard.close(EndReason.USER_LEFT, sender_id="ann")
        assert about("wait", stage.runtime.metrics) == {
            "wait_seconds_count{abandoned}": 1,
            "wait_seconds_sum{abandoned}": 90,
        }
        assert about("closed", stage.runtime.metrics) == {"closed_total{user_left}": 1}
        assert about("duration", stage.runtime.metrics) == {}

    async def test_one_that_nobody_took(self, stage: Stage) -> None:
        stage.agents.answer = lambda handoff: Unavailable("desk", "open a chat")
        await stage.request()
        assert counted(stage.runtime.metrics) == {"requests_total": 1, "closed_total{unavailable}": 1}

    async def test_one_that_waits_twice_has_waited_once(self, stage: Stage) -> None:
        """The agent who took it went away: what is measured is how long it took until somebody came."""
        handoff = await stage.request()
        await joined(stage, handoff)
        await stage.happen(AgentAway(chat_id=handoff.id))
        stage.pass_time(50)
        await joined(stage, handoff)
        assert about("wait", stage.runtime.metrics) == {"wait_seconds_count{taken}": 1}

    async def test_one_that_an_agent_took_at_once(self, stage: Stage) -> None:
        stage.agents.answer = lambda handoff: Opened(chat_id=handoff.id, status=Status.ACTIVE, agent=BO)
        await stage.request()
        assert counted(stage.runtime.metrics)["opened_total"] == 1
        assert about("wait", stage.runtime.metrics) == {"wait_seconds_count{taken}": 1}

    async def test_one_that_the_agents_have_for_good(self, stage: Stage) -> None:
        stage.agents.answer = lambda handoff: Opened(chat_id=handoff.id, status=Status.CLOSED)
        await stage.request()
        await stage.notices()
        assert about("opened", stage.runtime.metrics) == {"opened_total": 1}
        assert about("closed", stage.runtime.metrics) == {"closed_total{handed_over}": 1}
        assert about("wait", stage.runtime.metrics) == {}

    async def test_a_second_request_for_the_open_one_is_none(self, stage: Stage) -> None:
        await stage.request()
        await stage.request()
        assert counted(stage.runtime.metrics)["requests_total"] == 1

    async def test_a_rating_counts_once(self, stage: Stage) -> None:
        handoff = await stage.request()
        await stage.runtime.switchboard.rate(Rating(stars=4), handoff_id=handoff.id)
        await stage.runtime.switchboard.rate(Rating(stars=1), handoff_id=handoff.id)
        assert about("rating", stage.runtime.metrics) == {"rating_stars_count": 1, "rating_stars_sum": 4}

    async def test_one_that_the_start_finds_half_opened_failed(self, tmp_path: Path, time: Time) -> None:
        stage = Stage(f"sqlite:///{tmp_path}/handoff.db", tmp_path, time)
        await stage.up()
        request = Handoff(id="h", sender_id="ann", channel="rest", backend="desk", status=Status.REQUESTED, opened_at=0)
        await stage.runtime.store.write(
            lambda tx: stage.runtime._changes.begin(tx, request, Request(sender_id="ann", channel="rest")),
        )
        await stage.down()
        await stage.up()
        assert about("closed", stage.runtime.metrics) == {"closed_total{failed}": 1}
        await stage.down()

    async def test_one_that_went_on_to_another_agent_system(self, stage: Stage) -> None:
        first = Handoff(id="h", sender_id="ann", channel="rest", backend="desk", status=Status.REQUESTED, opened_at=0)
        second = Handoff(
            id="h", sender_id="ann", channel="rest", backend="yellow", status=Status.REQUESTED, opened_at=0
        )
        stage.runtime.store.tell([Moved(before=first, handoff=second)])
        await stage.runtime.store.told()
        (family,) = (each for each in stage.runtime.metrics.collect() if each.name == "handoff_passed_on")
        assert {sample.labels["backend"]: sample.value for sample in family.samples} == {"desk": 1}


class TestDeliveries:
    async def test_each_try_has_a_result(self, stage: Stage) -> None:
        handoff = await stage.request()
        await joined(stage, handoff)
        await stage.notices()
        stage.agents.trouble = [TemporaryError("desk", "send", 503), TemporaryError("desk", "send", 503)]
        await stage.say("Hi")
        await stage.until(lambda: "delivery_attempts_total{postponed,agent}" in counted(stage.runtime.metrics))
        stage.pass_time(60)
        await stage.until(lambda: not stage.agents.trouble)
        stage.pass_time(60)
        await stage.until(lambda: stage.agents.got)
        stage.agents.trouble = [BackendError("desk", "send", 400)]
        await stage.say("Hi again")
        await stage.until(lambda: "delivery_attempts_total{dead,agent}" in counted(stage.runtime.metrics))
        found = counted(stage.runtime.metrics)
        assert found["delivery_attempts_total{postponed,agent}"] == 2
        assert found["delivery_attempts_total{delivered,agent}"] == 1
        assert found["delivery_attempts_total{dead,agent}"] == 1
        assert found["messages_total{to_agent}"] == 1

    async def test_a_message_in_parts_is_one(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Recorder, "parts", lambda recorder, message: (message,) * 3)
        handoff = await stage.request()
        await joined(stage, handoff)
        await stage.say("Very long")
        await stage.until(lambda: len(stage.agents.got) == 3)
        await stage.notices()
        found = counted(stage.runtime.metrics)
        assert found["delivery_attempts_total{delivered,agent}"] == 3
        assert found["messages_total{to_agent}"] == 1


async def test_two_processes_count_each_thing_once(new_database: str, tmp_path: Path, time: Time) -> None:
    """What the agent does comes to the process that does not look after the handoff."""
    stages = [Stage(new_database, tmp_path / str(number), time) for number in range(2)]
    for stage in stages:
        stage.folder.mkdir()
        await stage.up()
    first, second = stages
    handoff = await first.request()
    await joined(second, handoff)
    await second.happen(AgentMessage(chat_id=handoff.id, text="Hello"))
    await second.say("Hi")
    await first.until(lambda: first.agents.got)
    await second.happen(Closed(chat_id=handoff.id))
    await first.until(lambda: "settle" in first.kinds_to_user())
    await first.notices()
    sums = {name: 0.0 for stage in stages for name in counted(stage.runtime.metrics)}
    for stage in stages:
        for name, value in counted(stage.runtime.metrics).items():
            sums[name] += value
        await stage.down()
    for once in ("requests_total", "opened_total", "closed_total{agent_closed}", "wait_seconds_count{taken}"):
        assert sums[once] == 1, once
    assert (sums["messages_total{to_agent}"], sums["messages_total{to_user}"]) == (1, 1)


def test_processes_behind_one_address_keep_their_numbers_in_a_folder(tmp_path: Path) -> None:
    """Each of them counts one webhook, and the last one, which counted none, tells of both."""
    count = "from rasa_handoff.metrics import Metrics; metrics = Metrics(['desk']); metrics.answered('desk', 200)"
    tell = (
        "from rasa_handoff.metrics import Metrics; metrics = Metrics(['desk']); "
        "print([s.value for m in metrics.collect() for s in m.samples if s.name == 'handoff_webhooks_total'])"
    )
    said = [_run(program, PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) for program in (count, count, tell)]
    assert said[-1] == "[2.0]"


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="is no folder; make it, empty, before each start"):
        Metrics(["desk"])


def _run(program: str, **env: str) -> str:
    return subprocess.check_output([sys.executable, "-c", program], env=env, text=True).strip()


# Over HTTP


@pytest_asyncio.fixture
async def operator(web_on_each: Web) -> AsyncIterator[Client]:
    yield await web_on_each.operator()


async def told(operator: Client) -> dict[tuple[str, tuple[str, ...]], float]:
    """Each number by its name and the values of its labels, in the order of the labels' names."""
    answer = await operator.get("/metrics")
    assert answer.status == 200
    families = text_string_to_metric_families(answer.body.decode())
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def told_at_last(web: Web, operator: Client, name: str, *labels: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """The same, once the number of this name is more than 0."""

    async def is_more() -> dict[tuple[str, tuple[str, ...]], float] | None:
        found = await told(operator)
        return found if found[name, labels] > 0 else None

    found: dict[tuple[str, tuple[str, ...]], float] = await web.until(is_more)
    return found


async def test_without_the_token_there_is_an_empty_401(web: Web) -> None:
    for authorization in (None, "Bearer wrong"):
        stranger = await web.stranger(**({"Authorization": authorization} if authorization else {}))
        answer = await stranger.get("/metrics")
        assert (answer.status, answer.body) == (401, b"")


async def test_every_metric_says_what_it_is(web: Web) -> None:
    answer = await (await web.operator()).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.body.decode()))
    assert len(families) > 15
    for family in families:
        assert family.name.startswith("handoff_"), family.name
        assert family.documentation.endswith("."), family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        if family.type == "counter":
            assert all(sample.name == f"{family.name}_total" for sample in family.samples)


async def test_a_scraper_may_have_openmetrics(web: Web) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = await (await web.operator()).get("/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")


async def test_series_are_there_before_anything_happens(web_on_each: Web, operator: Client) -> None:
    """A rate needs the 0 before the first."""
    found = await told_at_last(web_on_each, operator, "handoff_ready")
    assert found["handoff_requests_total", ("desk",)] == 0
    assert found["handoff_closed_total", ("desk", "not_accepted")] == 0
    assert found["handoff_wait_seconds_count", ("desk", "taken", "")] == 0
    assert found["handoff_open", ("desk", "", "queued")] == 0
    assert found["handoff_deliveries", ("dead", "agent")] == 0
    assert found["handoff_ready", ()] == 1
    assert found["handoff_info", (web_on_each.runtime.store.database, version("rasa_handoff"))] == 1


async def test_how_things_stand_is_looked_up(web_on_each: Web, operator: Client) -> None:
    bo = await web_on_each.agent_online("Bo")
    await web_on_each.open("ann")
    await web_on_each.open("una")
    (chat, _) = (await bo.chats())["waiting"]
    await bo.accept(chat["id"])
    found = await told_at_last(web_on_each, operator, "handoff_open_oldest_seconds", "desk", "", "queued")
    assert found["handoff_open", ("desk", "", "queued")] == 1
    assert found["handoff_open", ("desk", "", "active")] == 1
    assert found["handoff_open_oldest_seconds", ("desk", "", "requested")] == 0
    assert found["handoff_agents_online", ("desk",)] == 1


async def test_no_user_is_in_a_label(web_on_each: Web, operator: Client) -> None:
    await web_on_each.agent_online("Bo")
    await web_on_each.open("ann-of-the-secret-service", group="of-no-settings")
    answer = await operator.get("/metrics")
    assert b"secret-service" not in answer.body
    assert b"of-no-settings" not in answer.body


async def test_groups_that_the_settings_name_are_told_apart(tmp_path: Path) -> None:
    route = [{"to": "desk", "group": "billing", "when": {"slots": {"topic": "billing"}}}, {"to": "desk"}]
    async with open_web(f"sqlite:///{tmp_path}/handoff.db", tmp_path, route=route) as web:
        bo = await web.agent_online("Bo")
        await web.open("ann", parameters={"topic": "billing"})
        await web.open("una", group="of-no-settings")
        await web.open("eve")
        found = await told(await web.operator())
        assert found["handoff_open", ("desk", "billing", "queued")] == 1
        assert found["handoff_open", ("desk", "", "queued")] == 2
        (chat,) = [chat for chat in (await bo.chats())["waiting"] if chat["group"] == "billing"]
        await bo.accept(chat["id"])
        found = await told(await web.operator())
        assert found["handoff_wait_seconds_count", ("desk", "taken", "billing")] == 1
        assert found["handoff_wait_seconds_count", ("desk", "taken", "")] == 0


async def test_a_request_to_call_back_is_no_handoff(web: Web) -> None:
    operator = await web.operator()
    body = {"sender_id": "ann", "channel": "handoff", "callback": {"phone": "+49 30 1234"}}
    assert (await operator.post("/callbacks", body)).status == 200
    found = await told(operator)
    assert found["handoff_callbacks_total", ("desk",)] == 1
    assert found["handoff_requests_total", ("desk",)] == 0
    assert found["handoff_closed_total", ("desk", "unavailable")] == 0


async def test_the_requests_of_agent_systems_count_by_their_answer(tmp_path: Path) -> None:
    token = "token-of-the-live-agent-" + "t" * 16
    section = {"webhook_url": "https://agents.example.com/", "access_token": token}
    async with on_stage(tmp_path, Avaamo, section, public_url="https://bot.example.com") as stage:
        hook = next(hook for hook in Avaamo.hooks() if hook.taker == "list_requests")
        for authorization in ("Bearer wrong", f"Bearer {token}", f"Bearer {token}"):
            await stage.ask(Call(method=hook.method, path=hook.path, headers={"Authorization": authorization}))
        assert about("webhooks", stage.runtime.metrics) == {"webhooks_total{401}": 1, "webhooks_total{200}": 2}
