"""One actor: messages in, replies out, crashes contained."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from supervisor import NORMAL, Actor, ChildSpec, Intensity, Refusal, Request, SupervisorSpec, open_system
from supervisor.errors import ActorCrashed, ActorStopped, AskTimeout, SpecError, WouldDeadlock
from tests.supervisor.probes import Crash, Journal, Ping, Run, Stop, nap, probe


def one(*children: ChildSpec) -> SupervisorSpec:
    """A supervisor that restarts without a limit that matters."""
    return SupervisorSpec(children, intensity=Intensity(1000, 1.0))


async def test_an_ask_returns_what_receive_returned() -> None:
    """The value returned by `receive` is the reply."""
    async with open_system(one(probe("a"))) as system:
        answer = await system.ref("/a").ask(Run(lambda _: 42))

    assert answer == 42


async def test_messages_of_one_sender_arrive_in_order() -> None:
    """An actor handles what one task tells it in the order of the calls."""
    journal = Journal()
    async with open_system(one(probe("a", journal))) as system:
        ref = system.ref("/a")
        for number in range(5):
            ref.tell(number)
        await ref.ask(Ping())

    assert journal.lines[1:6] == [f"a got {number}" for number in range(5)]


async def test_a_crash_fails_the_ask_in_hand_at_once() -> None:
    """The caller of the message being handled gets `ActorCrashed`, with a report of type, text, traceback, message and caller."""
    async with open_system(one(probe("a"))) as system:
        with pytest.raises(ActorCrashed) as caught:
            await system.ref("/a").ask(Crash("out of luck"), timeout=60)

    report = caught.value.report
    assert (report.type, report.text, report.message_type) == ("Boom", "out of luck", "Crash")
    assert "raise Boom(text)" in report.traceback
    assert report.caller is not None


async def test_a_ref_is_good_after_a_crash() -> None:
    """The same ref reaches the next incarnation."""
    async with open_system(one(probe("a"))) as system:
        ref = system.ref("/a")
        with pytest.raises(ActorCrashed):
            await ref.ask(Crash())

        assert await ref.ask(Ping()) == 2


async def test_queued_messages_survive_a_crash_and_the_one_in_hand_is_not_repeated() -> None:
    """After a crash the rest of the queue is handled by the next incarnation; the message that was being handled is not."""
    journal = Journal()
    async with open_system(one(probe("a", journal))) as system:
        ref = system.ref("/a")
        for message in (1, Crash(), 2, 3):
            ref.tell(message)
        assert await ref.ask(Ping()) == 2

    assert [line for line in journal.lines if "got" in line] == ["a got 1", "a got 2", "a got 3"]


async def test_a_refusal_fails_the_ask_and_not_the_actor() -> None:
    """A `Refusal` raised in an ask reaches the caller as it is; the incarnation goes on."""

    class Closed(Refusal):
        pass

    def refuse(_: Any) -> None:
        raise Closed("we are closed")

    async with open_system(one(probe("a"))) as system:
        with pytest.raises(Closed, match="we are closed"):
            await system.ref("/a").ask(Run(refuse))

        assert await system.ref("/a").ask(Ping()) == 1
        assert system.snapshot("/a").refused == 1


async def test_a_late_answer_is_dropped_and_hurts_nobody(autojump_clock: MockClock) -> None:
    """After `AskTimeout` the actor's reply is dropped, and it goes on."""
    async with open_system(one(probe("a"))) as system:
        with pytest.raises(AskTimeout):
            await system.ref("/a").ask(nap(10), timeout=1)
        assert trio.current_time() == 1

        assert await system.ref("/a").ask(Ping(), timeout=60) == 1


async def test_a_request_whose_caller_gave_up_is_not_handled(autojump_clock: MockClock) -> None:
    """A queued ask that timed out before its turn is skipped."""
    handled: list[int] = []
    async with open_system(one(probe("a"))) as system:
        ref = system.ref("/a")
        ref.tell(nap(10))
        with pytest.raises(AskTimeout):
            await ref.ask(Run(lambda _: handled.append(1)), timeout=1)
        await ref.ask(Ping(), timeout=60)

    assert handled == []


async def test_an_actor_that_asks_itself_is_told_so() -> None:
    """Asking oneself from a handler raises at once instead of timing out."""
    async with open_system(one(probe("a"))) as system:
        ref = system.ref("/a")

        async def ask_self(_: Any) -> str:
            with pytest.raises(WouldDeadlock):
                await ref.ask(Ping())
            return "told"

        assert await ref.ask(Run(ask_self)) == "told"


async def test_after_the_system_is_closed_a_ref_raises() -> None:
    """tell and ask to an actor that is gone for good raise `ActorStopped`."""
    async with open_system(one(probe("a"))) as system:
        ref = system.ref("/a")

    with pytest.raises(ActorStopped):
        ref.tell(1)
    with pytest.raises(ActorStopped):
        await ref.ask(Ping())


async def test_an_answer_put_off_can_come_from_a_helper(autojump_clock: MockClock) -> None:
    """`defer` frees the actor for other messages while a helper prepares the reply."""

    @dataclass(frozen=True, slots=True)
    class Slow(Request[str]):
        pass

    class Kitchen(Actor):
        async def receive(self, message: Any) -> Any:
            match message:
                case Slow():
                    ticket = self.context.defer()

                    async def cook() -> None:
                        await trio.sleep(3)
                        ticket.reply("dinner")

                    self.context.spawn(cook)
                    return "ignored"
                case _:
                    return "quick"

    async with open_system(one(ChildSpec("k", lambda _: Kitchen()))) as system, trio.open_nursery() as nursery:
        answers: list[str] = []

        async def dine() -> None:
            answers.append(await system.ref("/k").ask(Slow()))

        nursery.start_soon(dine)
        await trio.sleep(1)
        answers.append(await system.ref("/k").ask(Ping()))  # type: ignore[arg-type]  # this actor replies to all with words
        nursery.cancel_scope.deadline = 10

    assert answers == ["quick", "dinner"]


async def test_a_crash_fails_the_answers_put_off() -> None:
    """Asks that were deferred fail with `ActorCrashed` when the incarnation crashes."""
    async with open_system(one(probe("a"))) as system, trio.open_nursery() as nursery:
        ref = system.ref("/a")

        async def wait() -> None:
            with pytest.raises(ActorCrashed):
                await ref.ask(Run(lambda actor: actor.context.defer()), timeout=60)

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        ref.tell(Crash())


async def test_stop_ends_a_permanent_actor_and_it_is_restarted() -> None:
    """`Context.stop` ends the incarnation after the present message, with a call of `stopping`."""
    journal = Journal()
    async with open_system(one(probe("a", journal))) as system:
        system.ref("/a").tell(Stop(NORMAL))
        assert await system.ref("/a").ask(Ping()) == 2

    assert journal.lines[:3] == ["start a", "stop a normal", "start a"]


async def test_a_tick_comes_again_and_again(autojump_clock: MockClock) -> None:
    """`every` delivers its message each interval until it is cancelled."""
    journal = Journal()
    async with open_system(one(probe("a", journal))) as system:
        timer = await system.ref("/a").ask(Run(lambda actor: actor.context.every(2.0, "tick")))
        await trio.sleep(7)
        timer.cancel()
        await trio.sleep(10)

    assert journal.lines.count("a got tick") == 3


@pytest.mark.parametrize("timeout", [nan, -1.0])
async def test_a_timeout_that_makes_no_sense_is_refused_before_anything_is_sent(timeout: float) -> None:
    """NaN would break the order of the heap of all deadlines."""
    async with open_system(SupervisorSpec([probe("a")])) as system:
        with pytest.raises(SpecError, match="timeout: must be a number of seconds of at least 0, or inf, not"):
            await system.ref("/a").ask(Ping(), timeout=timeout)

        assert await system.ref("/a").ask(Ping()) == 1
        assert system.snapshot("/a").handled == 1
