"""What every backend has to keep, as tests to inherit: the agent system is a real server, our side the real plugin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from rasa_handoff import backends
from rasa_handoff.backends.base import Backend
from rasa_handoff.errors import ConfigError
from rasa_handoff.model import EndReason, Handoff, Json, Line, Status
from rasa_handoff.settings import read_section
from rasa_handoff.store import deliveries
from rasa_handoff.testing.calls import Answered, Call
from rasa_handoff.testing.stage import Stage, on_stage
from rasa_handoff.testing.wire import Wire

_TEN_MINUTES = 600.0
_TRICKY = "Zwölf 🚲 “Räder”\n\t<b>&amp;</b> \\u0041 %s ' \" ; --"


class BackendContract:
    """Inherit it as ``class TestAcme(BackendContract)`` and say how your agent system speaks.

    Needed are `backend`, `section`, `writing`, `closing`, `requests` and `said`; what else is below has
    an answer that fits many.
    """

    backend: ClassVar[type[Backend]]
    secrets: ClassVar[tuple[str, ...]] = ()  #: the tokens in `section`; no log may have them
    settings: ClassVar[Json] = {}  #: of the plugin, beside the backend's own
    numbered: ClassVar[bool] = True  #: agents' messages carry ids, so that a repeat can be told from a second one
    path: ClassVar[str] = "*"  #: where on the wire the user's messages go, if other things go elsewhere
    early: ClassVar[bool] = True  #: agents can act before our request for them has been answered
    calls_us: ClassVar[bool] = True  #: by webhooks; False where it has to be asked, and `ask` is overridden

    # -- how your agent system speaks ---------------------------------------------------------

    def section(self, url: str) -> Json:
        """The backend's settings, with the agent system at *url*."""
        raise NotImplementedError

    def agree(self, wire: Wire) -> None:
        """Lay down the answers of an agent system that takes everything; by default ``200 {}``."""

    def signed(self, call: Call) -> Call:
        """*call* with what proves that it is the agent system's: a token, a signature."""
        return call

    def accepting(self, handoff: Handoff) -> Call | None:
        """An agent takes the chat; None where agents join by writing.

        ``handoff.chat_id`` is what `Backend.chat_id_of` says while it is being opened.
        """
        return None

    def writing(self, handoff: Handoff, text: str, number: int) -> Call:
        """An agent writes *text*, their message *number* of this chat."""
        raise NotImplementedError

    def closing(self, handoff: Handoff) -> Call:
        """An agent ends the chat."""
        raise NotImplementedError

    def requests(self, wire: Wire) -> list[str]:
        """The requests for an agent that arrived, each by the id that tells a repeat."""
        raise NotImplementedError

    def said(self, wire: Wire) -> list[tuple[str, str]]:
        """The user's messages that arrived, in order: the id that tells a repeat, and the text."""
        raise NotImplementedError

    def endings(self, wire: Wire) -> list[Any] | None:
        """Where we said that a chat is over; None where it cannot be said."""
        return None

    def took(self, answer: Answered) -> bool:
        """Whether we took what the agent system told us."""
        return 200 <= answer.status < 300

    def refused(self, answer: Answered) -> bool:
        """Whether we said clearly that we did not."""
        return 400 <= answer.status < 500

    # -- the stage ----------------------------------------------------------------------------

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def wire(self) -> Iterator[Wire]:
        with Wire() as wire:
            self.agree(wire)
            yield wire

    @pytest_asyncio.fixture
    async def stage(self, tmp_path: Path, wire: Wire) -> AsyncIterator[Stage]:
        async with self.on_stage(tmp_path, wire) as stage:
            yield stage

    def on_stage(self, folder: Path, wire: Wire, **settings: Any) -> AbstractAsyncContextManager[Stage]:
        """A stage with other *settings* than the fixture's."""
        section = self.section(wire.url)
        return on_stage(folder, self.backend, section, secrets=self.secrets, **{**self.settings, **settings})

    async def ask(self, stage: Stage, call: Call) -> Answered:
        """The agent system calls, with its proof.

        Where it has to be asked (`calls_us`): it happens there, and has been asked for when this returns.
        """
        return await stage.ask(self.signed(call))

    async def accept(self, stage: Stage, handoff: Handoff) -> None:
        call = self.accepting(handoff)
        if call is not None:
            assert self.took(await self.ask(stage, call))
            return
        assert self.took(await self.ask(stage, self.writing(handoff, "Good morning", 0)))
        await stage.until(lambda: "Good morning" in stage.heard(handoff.sender_id))

    async def talking(self, stage: Stage, sender_id: str = "ann") -> Handoff:
        """A handoff with an agent in it."""
        opened = await stage.request(sender_id)
        assert opened.status in (Status.QUEUED, Status.ACTIVE), opened
        await self.accept(stage, opened)
        handoff = await stage.handoff(sender_id)
        assert handoff.status is Status.ACTIVE
        await stage.until(stage.all_sent)
        return handoff

    def texts(self, wire: Wire) -> list[str]:
        """What the user said that arrived, a repeat counted once."""
        return list(dict(self.said(wire)).values())

    # -- settings -----------------------------------------------------------------------------

    async def test_a_setting_that_does_not_exist_is_named(self, stage: Stage, wire: Wire) -> None:
        section = {**self.section(wire.url), "no_such_setting": 1}
        with pytest.raises(ConfigError, match="no_such_setting") as found:
            read_section({"backends": {self.backend.name: section}}, backends.settings_models())
        assert not any(secret in str(found.value) for secret in self.secrets)

    async def test_its_secrets_do_not_show(self, stage: Stage) -> None:
        shown = f"{stage.settings!r} {stage.backend!r} {stage.backend.settings!r} {stage.backend.settings}"
        assert not any(secret in shown for secret in self.secrets)

    # -- opening ------------------------------------------------------------------------------

    async def test_a_request_is_queued_or_taken(self, stage: Stage, wire: Wire) -> None:
        lines = (Line(who="user", text="I want to talk to a person", at=1.0),)
        handoff = await stage.request(transcript=lines, parameters={"topic": "billing"}, last_message="a person")
        assert handoff.status in (Status.QUEUED, Status.ACTIVE)
        assert handoff.chat_id
        assert len(self.requests(wire)) == 1

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
    async def test_who_refuses_leaves_the_bot_in_charge(self, stage: Stage, wire: Wire, status: int) -> None:
        wire.fail(status, times=5)
        handoff = await stage.request()
        assert handoff.status is Status.CLOSED
        assert handoff.end_reason in (EndReason.FAILED, EndReason.UNAVAILABLE, EndReason.REJECTED)
        assert await stage.say("hello?") is None

    async def test_who_cannot_be_reached_leaves_the_bot_in_charge(self, stage: Stage, wire: Wire) -> None:
        wire.down()
        handoff = await stage.request()
        assert (handoff.status, handoff.end_reason) == (Status.CLOSED, EndReason.FAILED)
        wire.up()
        assert (await stage.request()).is_open

    async def test_an_answer_that_comes_too_late_is_a_chat_that_is_closed_again(
        self, tmp_path: Path, wire: Wire
    ) -> None:
        async with self.on_stage(tmp_path, wire, open_timeout="300ms") as stage:
            with wire.held(when=lambda: self.requests(wire)):
                handoff = await stage.request()
            assert (handoff.status, handoff.end_reason) == (Status.CLOSED, EndReason.FAILED)
            if self.endings(wire) is not None:
                await stage.until(lambda: self.endings(wire))

    async def test_an_agent_who_is_faster_than_the_answer(self, stage: Stage, wire: Wire) -> None:
        if not self.early:
            pytest.skip("agents cannot act before the answer")
        with wire.held(when=lambda: self.requests(wire)):
            opening = asyncio.create_task(stage.request())
            await stage.until(lambda: self.requests(wire))
            await self.accept(stage, await stage.handoff())
        assert (await opening).status is Status.ACTIVE
        assert (await stage.handoff()).status is Status.ACTIVE

    async def test_two_users_have_two_chats(self, stage: Stage, wire: Wire) -> None:
        ann, bob = await self.talking(stage, "ann"), await self.talking(stage, "bob")
        assert ann.chat_id != bob.chat_id
        assert self.took(await self.ask(stage, self.writing(bob, "Hello Bob", 1)))
        await stage.until(lambda: "Hello Bob" in stage.heard("bob"))
        assert "Hello Bob" not in stage.heard("ann")

    # -- from the agent -----------------------------------------------------------------------

    async def test_what_agents_write_reaches_the_user_in_order_and_unchanged(self, stage: Stage) -> None:
        handoff = await self.talking(stage)
        texts = [_TRICKY, *(f"line {number}" for number in range(10))]
        for number, text in enumerate(texts, start=1):
            assert self.took(await self.ask(stage, self.writing(handoff, text, number)))
        await stage.until(lambda: len(stage.heard()) >= len(texts))
        assert stage.heard()[-len(texts) :] == texts

    async def test_a_repeat_reaches_the_user_once(self, stage: Stage) -> None:
        if not self.numbered:
            pytest.skip("agents' messages carry no ids")
        handoff = await self.talking(stage)
        for _ in range(3):
            assert self.took(await self.ask(stage, self.writing(handoff, "only once", 1)))
        assert self.took(await self.ask(stage, self.writing(handoff, "and this", 2)))
        await stage.until(lambda: "and this" in stage.heard())
        assert stage.heard().count("only once") == 1

    async def test_accepting_twice_does_no_harm(self, stage: Stage) -> None:
        handoff = await self.talking(stage)
        call = self.accepting(handoff)
        if call is not None:
            answer = await self.ask(stage, call)
            assert self.took(answer) or self.refused(answer)
        assert (await stage.handoff()).status is Status.ACTIVE

    async def test_an_agent_closes_and_the_bot_is_back(self, stage: Stage) -> None:
        handoff = await self.talking(stage)
        assert self.took(await self.ask(stage, self.closing(handoff)))
        ended = await stage.handoff()
        assert (ended.status, ended.end_reason) == (Status.CLOSED, EndReason.AGENT_CLOSED)
        await stage.until(lambda: _settled(stage))
        assert await stage.say("hello, bot") is None

    async def test_what_comes_after_the_end_has_no_effect(self, stage: Stage) -> None:
        handoff = await self.talking(stage)
        await self.ask(stage, self.closing(handoff))
        await stage.until(lambda: _settled(stage))
        await stage.until(lambda: _nothing_waits(stage))
        before = len(stage.to_user)
        assert self.refused(await self.ask(stage, self.writing(handoff, "are you there?", 7)))
        again = await self.ask(stage, self.closing(handoff))
        assert self.took(again) or self.refused(again)
        await stage.until(lambda: _nothing_waits(stage))
        assert len(stage.to_user) == before
        assert (await stage.handoff()).end_reason is EndReason.AGENT_CLOSED

    async def test_a_second_handoff_of_the_same_user(self, stage: Stage, wire: Wire) -> None:
        first = await self.talking(stage)
        await self.ask(stage, self.closing(first))
        await stage.until(lambda: _settled(stage))
        second = await self.talking(stage)
        assert second.id != first.id
        assert len(set(self.requests(wire))) == 2
        await stage.say("it is me again")
        await stage.until(lambda: "it is me again" in self.texts(wire))

    # -- from the user ------------------------------------------------------------------------

    async def test_what_the_user_says_arrives_in_order_and_unchanged(self, stage: Stage, wire: Wire) -> None:
        await self.talking(stage)
        texts = [_TRICKY, "x" * 1500, *(f"line {number}" for number in range(10))]
        for text in texts:
            await stage.say(text)
        await stage.until(lambda: len(self.texts(wire)) >= len(texts))
        assert self.texts(wire) == texts

    @pytest.mark.parametrize("trouble", ["fail", "hang_up"])
    async def test_what_is_tried_again_has_the_same_id_and_nothing_overtakes(
        self, stage: Stage, wire: Wire, trouble: str
    ) -> None:
        await self.talking(stage)
        if trouble == "fail":
            wire.fail(503, times=2, path=self.path)
        else:
            wire.hang_up(times=2, path=self.path)
        for text in ("one", "two", "three"):
            await stage.say(text)
        await stage.until(lambda: len(self.texts(wire)) == 3)
        assert self.texts(wire) == ["one", "two", "three"]
        assert (await stage.handoff()).status is Status.ACTIVE

    async def test_ten_minutes_without_the_agent_system_lose_nothing(self, stage: Stage, wire: Wire) -> None:
        await self.talking(stage)
        wire.down()
        for text in ("one", "two", "three"):
            await stage.say(text)
        for _ in range(10):
            await asyncio.sleep(0.02)
            stage.pass_time(_TEN_MINUTES / 10)
        wire.up()

        def have_come() -> bool:
            """Each time a little later: what was tried while the wire was down may hear of that only now."""
            stage.pass_time(1.0)
            return len(self.texts(wire)) == 3

        await stage.until(have_come)
        assert self.texts(wire) == ["one", "two", "three"]

    async def test_what_waits_is_sent_after_a_restart(self, stage: Stage, wire: Wire) -> None:
        await self.talking(stage)
        wire.down()
        await stage.say("before the restart")
        await asyncio.sleep(0.05)
        await stage.restart()
        wire.up()
        stage.pass_time(60.0)
        await stage.until(lambda: self.texts(wire) == ["before the restart"])

    async def test_a_message_that_is_refused_for_good_is_put_aside_and_the_user_is_told(
        self, stage: Stage, wire: Wire
    ) -> None:
        await self.talking(stage)
        wire.fail(422, times=2, path=self.path)  # twice, for backends that try once more with a new token
        await stage.say("they will not take this")
        await stage.until(lambda: "utter_handoff_undelivered" in stage.notices())
        wire.calm()
        await stage.say("but this")
        await stage.until(lambda: self.texts(wire) == ["but this"])

    async def test_agent_and_user_write_at_the_same_moment(self, stage: Stage, wire: Wire) -> None:
        handoff = await self.talking(stage)
        answer, _ = await asyncio.gather(
            self.ask(stage, self.writing(handoff, "How can I help?", 1)), stage.say("My bike is broken")
        )
        assert self.took(answer)
        await stage.until(lambda: stage.heard()[-1:] == ["How can I help?"])
        await stage.until(lambda: self.texts(wire) == ["My bike is broken"])

    async def test_the_user_leaves(self, stage: Stage, wire: Wire) -> None:
        handoff = await self.talking(stage)
        await stage.runtime.switchboard.close(EndReason.USER_LEFT, handoff_id=handoff.id)
        await stage.until(lambda: _settled(stage))
        if self.endings(wire) is not None:
            await stage.until(lambda: self.endings(wire))
        assert self.refused(await self.ask(stage, self.writing(handoff, "are you there?", 7)))
        assert stage.heard()[-1:] != ["are you there?"]

    # -- who may speak ------------------------------------------------------------------------

    async def test_nothing_unproven_has_an_effect(self, stage: Stage) -> None:
        self.require_calls()
        handoff = await stage.request()
        for call in self._calls(handoff):
            for wrong in _wrong(call, self.signed(call)):
                assert (await stage.ask(wrong)).status == 401, wrong
        assert (await stage.handoff()).status is handoff.status
        assert stage.heard() == []

    async def test_every_webhook_asks_for_proof(self, stage: Stage) -> None:
        for hook in self.backend.hooks():
            path = "/".join("x" if part.startswith("<") else part for part in hook.path.split("/"))
            answer = await stage.ask(Call(method=hook.method, path=path, body=_body_for(hook.method)))
            assert answer.status == 401, hook

    async def test_a_chat_that_does_not_exist_is_refused(self, stage: Stage) -> None:
        self.require_calls()
        handoff = await self.talking(stage)
        stranger = replace(handoff, id="00000000-0000-4000-8000-000000000000", chat_id="0" * 32, sender_id="nobody")
        for call in self._calls(stranger):
            assert self.refused(await self.ask(stage, call)), call
        assert (await stage.handoff()).status is Status.ACTIVE

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"null", b"\xff", b'{"a": NaN}', b"{}", b"[" * 100_000],
        ids=lambda body: repr(body[:6]),
    )
    async def test_what_cannot_be_read_is_refused(self, stage: Stage, body: bytes) -> None:
        self.require_calls()
        handoff = await self.talking(stage)
        before = stage.heard()
        call = replace(self.writing(handoff, "a text", 1), body=body)
        answer = await self.ask(stage, call)
        assert self.refused(answer) or not body.strip(b"{}"), answer
        assert stage.heard() == before

    async def test_too_large_is_refused(self, stage: Stage) -> None:
        self.require_calls()
        handoff = await self.talking(stage)
        answer = await self.ask(stage, self.writing(handoff, "x" * 300_000, 1))
        assert answer.status == 413

    def require_calls(self) -> None:
        if not self.calls_us:
            pytest.skip("nobody calls us")

    def _calls(self, handoff: Handoff) -> list[Call]:
        calls = [self.accepting(handoff), self.writing(handoff, "I should not be read", 1), self.closing(handoff)]
        return [call for call in calls if call is not None]


async def _settled(stage: Stage) -> bool:
    return (await stage.handoff()).settled


async def _nothing_waits(stage: Stage) -> bool:
    """Whether all that is to go out has gone."""
    return not await stage.runtime.store.read(deliveries.pending)


def _body_for(method: str) -> Any:
    return None if method in ("GET", "DELETE") else {}


def _wrong(call: Call, signed: Call) -> Iterator[Call]:
    """*call* without its proof, and with each part of it empty or a little wrong."""
    yield call
    for name in signed.query.keys() - call.query.keys():
        for value in ("", _altered(signed.query[name])):
            yield signed.having(query={name: value})
    for name in signed.headers.keys() - call.headers.keys():
        for value in ("", _altered(signed.headers[name])):
            yield signed.having(headers={name: value})


def _altered(value: str) -> str:
    return value[:-1] + ("x" if value[-1:] != "x" else "y")
