"""What a team lead asks: how many handoffs there were, what became of them, and how long people waited."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasa_handoff import figures
from rasa_handoff.backends.base import Opened
from rasa_handoff.errors import Unavailable
from rasa_handoff.events import AgentJoined, AgentMessage, Closed
from rasa_handoff.figures import Question, Report, Spread
from rasa_handoff.model import EndReason, Handoff, Person, Rating, Request, Status, new_handoff_id
from rasa_handoff.store import Store, handoffs
from tests.stage import Stage
from tests.web_stage import Web

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc).timestamp()
DAY = 86_400.0


def a_handoff(opened_at: float = NOON, sender_id: str = "ann", **values: Any) -> Handoff:
    """One that an agent took after ten seconds, answered after twenty, and closed after a minute."""
    usual = {
        "backend": "desk",
        "status": Status.CLOSED,
        "accepted_at": opened_at + 10,
        "replied_at": opened_at + 20,
        "closed_at": opened_at + 60,
        "end_reason": EndReason.AGENT_CLOSED,
        "settled": True,
    }
    values = {**usual, **values}
    return Handoff(id=new_handoff_id(), sender_id=sender_id, channel="rest", opened_at=opened_at, **values)


def given_up(opened_at: float = NOON, reason: EndReason = EndReason.USER_LEFT, **values: Any) -> Handoff:
    return a_handoff(opened_at, accepted_at=None, replied_at=None, end_reason=reason, **values)


def waiting(opened_at: float = NOON, **values: Any) -> Handoff:
    nothing = dict.fromkeys(("accepted_at", "replied_at", "closed_at", "end_reason"))
    return a_handoff(opened_at, status=Status.QUEUED, **nothing, **values)


async def put(store: Store, *found: Handoff) -> None:
    for handoff in found:
        request = Request(sender_id=handoff.sender_id, channel="rest")
        await store.write(lambda tx, handoff=handoff, request=request: handoffs.insert(tx, handoff, request))


async def asked(store: Store, by: Any = None, zone: ZoneInfo = UTC, days: float = 7) -> Report:
    return await figures.report(store, Question(since=NOON - days * DAY, until=NOON + DAY, by=by, zone=zone))


async def test_nothing_comes_to_nothing(store: Store) -> None:
    report = await asked(store)
    assert report.total.handoffs == 0
    assert report.total.wait is None
    assert report.total.ratings.average is None
    assert report.rows == {}


async def test_each_handoff_has_one_fate(store: Store) -> None:
    await put(
        store,
        a_handoff(sender_id="1"),
        a_handoff(sender_id="2", status=Status.ACTIVE, closed_at=None, end_reason=None),
        a_handoff(sender_id="3", end_reason=EndReason.FAILED),
        given_up(sender_id="4"),
        given_up(sender_id="5", reason=EndReason.NOT_ACCEPTED),
        given_up(sender_id="6", reason=EndReason.UNAVAILABLE),
        given_up(sender_id="7", reason=EndReason.HANDED_OVER),
        waiting(sender_id="8"),
    )
    total = (await asked(store)).total
    assert (total.handoffs, total.taken, total.abandoned, total.refused) == (8, 3, 2, 1)
    assert (total.handed_over, total.waiting) == (1, 1)
    assert total.reasons["agent_closed"] == 1
    assert sum(total.reasons.values()) == 6


@given(st.one_of(st.none(), st.sampled_from(EndReason)), st.booleans())
def test_no_end_is_left_out(reason: EndReason | None, taken: bool) -> None:
    became = figures.fate(reason, taken)
    assert (became == "taken") == taken
    assert (became == "waiting") <= (reason is None)


async def test_times_are_those_in_the_middle_and_of_nine_in_ten(store: Store) -> None:
    waits = [*range(1, 10), 1000]
    await put(store, *(a_handoff(sender_id=str(each), accepted_at=NOON + each) for each in waits))
    total = (await asked(store)).total
    assert total.wait == Spread(median=5.5, p90=9)
    assert total.first_reply == Spread(median=20, p90=20)
    assert total.duration == Spread(median=60, p90=60)


async def test_who_waited_in_vain_did_not_wait_until_somebody_came(store: Store) -> None:
    await put(store, given_up())
    total = (await asked(store)).total
    assert (total.wait, total.first_reply, total.duration) == (None, None, None)


async def test_a_clock_that_was_set_back_makes_no_negative_time(store: Store) -> None:
    await put(store, a_handoff(accepted_at=NOON - 5))
    wait = (await asked(store)).total.wait
    assert wait == Spread(median=0, p90=0)


async def test_ratings_have_an_average_and_a_share_of_what_was_settled(store: Store) -> None:
    ratings = [Rating(stars=5, resolved=True), Rating(stars=2, resolved=False), Rating(stars=4), None]
    await put(store, *(a_handoff(sender_id=str(n), rating=each) for n, each in enumerate(ratings)))
    found = (await asked(store)).total.ratings
    assert found.count == 3
    assert found.average == pytest.approx(11 / 3)
    assert found.resolved == 0.5


async def test_who_comes_again_within_a_day_is_counted(store: Store) -> None:
    """Not who had not been with an agent, and not after more than a day."""
    await put(
        store,
        a_handoff(sender_id="soon"),
        a_handoff(NOON + DAY - 100, sender_id="soon"),
        a_handoff(NOON - 3 * DAY, sender_id="late"),
        a_handoff(sender_id="late"),
        given_up(sender_id="vain"),
        a_handoff(NOON + 1000, sender_id="vain"),
    )
    assert (await asked(store)).total.again == 1


async def test_only_what_was_opened_in_that_time(store: Store) -> None:
    await put(store, *(a_handoff(NOON - days * DAY, sender_id=str(days)) for days in (0, 1, 2, 3)))
    assert (await asked(store, days=1)).total.handoffs == 2
    assert (await asked(store, days=0.5)).total.handoffs == 1


async def test_many_pages_are_gone_through_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where several were opened at the same moment."""
    monkeypatch.setattr(figures, "_AT_ONCE", 3)
    await put(store, *(a_handoff(NOON + number // 4, sender_id=str(number)) for number in range(20)))
    assert (await asked(store)).total.handoffs == 20


async def test_rows_of_backends_have_the_most_first(store: Store) -> None:
    names = ["desk", "yellow", "yellow"]
    await put(store, *(a_handoff(sender_id=str(n), backend=name) for n, name in enumerate(names)))
    report = await asked(store, "backend")
    assert {name: row.handoffs for name, row in report.rows.items()} == {"yellow": 2, "desk": 1}
    assert list(report.rows) == ["yellow", "desk"]
    assert report.total.handoffs == 3


async def test_rows_of_groups_and_of_reasons(store: Store) -> None:
    await put(
        store,
        a_handoff(sender_id="1", group="billing"),
        given_up(sender_id="2"),
        given_up(sender_id="3", group="billing"),
    )
    by_group = (await asked(store, "group")).rows
    assert {name: row.taken for name, row in by_group.items()} == {"billing": 1, "": 0}
    by_reason = (await asked(store, "reason")).rows
    assert {name: row.handoffs for name, row in by_reason.items()} == {"user_left": 2, "agent_closed": 1}


async def test_days_begin_where_people_live_and_none_is_left_out(store: Store) -> None:
    just_before_midnight = datetime(2026, 11, 18, 22, 59, tzinfo=timezone.utc).timestamp()
    await put(store, a_handoff(just_before_midnight, "1"), a_handoff(just_before_midnight + 120, "2"))
    rows = (await asked(store, "day", BERLIN, days=3)).rows
    assert {day: row.handoffs for day, row in rows.items()} == {
        "2026-11-17": 0,
        "2026-11-18": 1,
        "2026-11-19": 1,
        "2026-11-20": 0,
        "2026-11-21": 0,
    }
    assert list(rows) == sorted(rows)
    in_utc = (await asked(store, "day", UTC, days=3)).rows
    assert in_utc["2026-11-18"].handoffs == 2


# What the handoffs themselves write down


async def test_the_first_words_of_an_agent_are_the_first_reply(stage: Stage) -> None:
    """Not what the agent system says by itself, and not what the agent says later."""
    handoff = await stage.request()
    stage.pass_time(5)
    await stage.happen(AgentMessage(chat_id=handoff.id, text="All are busy", automatic=True))
    stage.pass_time(5)
    await stage.happen(AgentJoined(chat_id=handoff.id, agent=Person(name="Bo")))
    for _ in range(2):
        stage.pass_time(5)
        await stage.happen(AgentMessage(chat_id=handoff.id, text="Hello"))
    await stage.happen(Closed(chat_id=handoff.id))
    total = await _of_now(stage)
    assert total.wait == Spread(median=pytest.approx(10), p90=pytest.approx(10))
    assert total.first_reply == Spread(median=pytest.approx(15), p90=pytest.approx(15))


async def test_the_last_rating_of_a_handoff_counts(stage: Stage) -> None:
    handoff = await stage.request()
    await stage.runtime.switchboard.rate(Rating(stars=1, resolved=False), handoff_id=handoff.id)
    rated = await stage.runtime.switchboard.rate(Rating(stars=5, resolved=True), handoff_id=handoff.id)
    assert rated.rating == Rating(stars=5, resolved=True)
    ratings = (await _of_now(stage)).ratings
    assert (ratings.count, ratings.average, ratings.resolved) == (1, 5, 1)


async def test_refused_is_refused_though_another_was_asked_first(stage: Stage) -> None:
    stage.agents.answer = lambda handoff: Unavailable("desk", "open a chat")
    await stage.request()
    stage.agents.answer = lambda handoff: Opened(chat_id=handoff.id)
    await stage.request()
    total = await _of_now(stage)
    assert (total.handoffs, total.refused, total.waiting, total.again) == (2, 1, 1, 0)


async def _of_now(stage: Stage) -> figures.Figures:
    now = stage.now()
    question = Question(since=now - DAY, until=now + 1, zone=UTC)
    return (await figures.report(stage.runtime.store, question)).total


# Over HTTP


async def test_without_the_token_there_is_an_empty_401(web: Web) -> None:
    answer = await (await web.stranger()).get("/stats")
    assert (answer.status, answer.body) == (401, b"")


async def test_the_answer_has_all_that_was_asked_for(web_on_each: Web) -> None:
    web = web_on_each
    bo = await web.agent_online("Bo")
    await web.open("ann", group="billing")
    await web.open("una")
    (chat, _) = (await bo.chats())["waiting"]
    await bo.accept(chat["id"])
    await bo.reply(chat["id"], "Hello")
    await _move_back(web.runtime.store)
    answer = await (await web.operator()).get("/stats?since=1h&by=group")
    assert answer.status == 200
    found = answer.json
    assert found["until"] - found["since"] == pytest.approx(3600)
    assert (found["by"], found["kept_for"]) == ("group", 30 * DAY)
    assert {row["name"]: row["taken"] for row in found["rows"]} == {"billing": 1, "": 0}
    total = found["total"]
    assert (total["handoffs"], total["taken"], total["taken_share"], total["waiting"]) == (2, 1, 0.5, 1)
    assert (total["wait"]["median"], total["first_reply"]["median"]) == (pytest.approx(10), pytest.approx(20))


async def _move_back(store: Store) -> None:
    """Let all handoffs be two minutes old, taken after ten seconds and answered after twenty, by a steady clock."""
    times = "opened_at = opened_at - 120, accepted_at = opened_at - 110, replied_at = opened_at - 100"
    await store.write(lambda tx: tx.run(f"UPDATE handoff_handoffs SET {times} WHERE accepted_at IS NOT NULL", {}))
    sql = "UPDATE handoff_handoffs SET opened_at = opened_at - 120 WHERE accepted_at IS NULL"
    await store.write(lambda tx: tx.run(sql, {}))


async def test_a_request_to_call_back_is_no_handoff(web_on_each: Web) -> None:
    operator = await web_on_each.operator()
    body = {"sender_id": "ann", "channel": "handoff", "callback": {"phone": "+49 30 1234"}}
    assert (await operator.post("/callbacks", body)).status == 200
    assert (await operator.get("/stats")).json["total"]["handoffs"] == 0


async def test_by_day_begins_with_a_whole_day(web: Web) -> None:
    found = (await (await web.operator()).get("/stats?since=2d&by=day&zone=Europe/Berlin")).json
    began = datetime.fromtimestamp(found["since"], BERLIN)
    assert (began.hour, began.minute, began.second) == (0, 0, 0)
    assert len(found["rows"]) == 3


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=yesterday", "since"),
        ("since=0d", "since"),
        ("since=-1d", "since"),
        ("by=agent", "by"),
        ("zone=Mars/Base", "zone"),
        ("zone=../../etc/passwd", "zone"),
        ("zone=/etc/localtime", "zone"),
        ("zone=Europe", "zone"),
        ("zone=%00", "zone"),
    ],
)
async def test_what_is_no_question_names_the_field(web: Web, query: str, field: str) -> None:
    answer = await (await web.operator()).get(f"/stats?{query}")
    assert (answer.status, answer.code) == (400, "malformed")
    assert answer.message.startswith(f"{field} ")


async def test_agents_see_what_the_desk_did_in_a_day(web_on_each: Web) -> None:
    web = web_on_each
    bo = await web.agent_online("Bo")
    assert (await bo.get("/desk/api/figures")).json["figures"]["handoffs"] == 0
    await web.open("ann")
    (chat,) = (await bo.chats())["waiting"]
    await bo.accept(chat["id"])
    elsewhere = a_handoff(web.runtime.now() - 100, "una", backend="yellow")
    await put(web.runtime.store, elsewhere)
    await _move_back(web.runtime.store)
    found = (await bo.get("/desk/api/figures")).json
    assert found["until"] - found["since"] == DAY
    assert (found["figures"]["handoffs"], found["figures"]["taken"]) == (1, 1)
    assert (await (await web.stranger()).get("/desk/api/figures")).status == 401
