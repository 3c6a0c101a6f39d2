"""What an incarnation can do besides replying, and that all of it ends with the incarnation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import Actor, ChildSpec, Context, Intensity, SupervisorSpec, open_system
from supervisor.errors import ActorCrashed, ActorStopped, NoSuchActor, SupervisorError, TooMany
from supervisor.running.resources import MAX_HELD
from tests.supervisor.probes import Boom, Crash, Journal, Ping, Run, nap, probe


def one(journal: Journal | None = None) -> SupervisorSpec:
    return SupervisorSpec([probe("a", journal)], intensity=Intensity(99, 1.0))


def got(journal: Journal) -> list[str]:
    return [line for line in journal.lines if "got" in line]


async def test_after_comes_once(autojump_clock: MockClock) -> None:
    """`after` delivers its message once, at its time."""
    journal = Journal()
    async with open_system(one(journal)) as system:
        await system.ref("/a").ask(Run(lambda actor: actor.context.after(3, "tick")))
        await trio.sleep(2.9)
        assert got(journal) == []
        await trio.sleep(100)

    assert got(journal) == ["a got tick"]


async def test_a_cancelled_timer_takes_back_what_is_queued(autojump_clock: MockClock) -> None:
    """After cancel() no tick is received, not even one that waited in the mailbox."""
    journal = Journal()
    async with open_system(one(journal)) as system:
        timer = await system.ref("/a").ask(Run(lambda actor: actor.context.after(1, "tick")))
        system.ref("/a").tell(nap(5))
        await trio.sleep(2)
        assert system.snapshot("/a").mailbox_depth == 1
        timer.cancel()
        await trio.sleep(10)

    assert got(journal) == []


async def test_every_queues_one_tick_at_most(autojump_clock: MockClock) -> None:
    """An actor that is busy for ten intervals finds one tick, not ten."""
    journal = Journal()
    async with open_system(one(journal)) as system:
        await system.ref("/a").ask(Run(lambda actor: actor.context.every(1, "tick")))
        system.ref("/a").tell(nap(10.5))
        await trio.sleep(10.6)
        assert got(journal) == ["a got tick"]
        await trio.sleep(2)

    assert got(journal) == ["a got tick"] * 3


async def test_timers_die_with_their_incarnation(autojump_clock: MockClock) -> None:
    """After a crash no timer of the old incarnation fires, and a tick it had queued is not received."""
    journal = Journal()
    async with open_system(one(journal), on_event=journal.on_event) as system:
        ref = system.ref("/a")
        await ref.ask(Run(lambda actor: (actor.context.every(1, "old"), actor.context.after(2, "old"))))
        ref.tell(nap(1.5))
        ref.tell(Crash())
        await trio.sleep(10)

        assert (got(journal), await ref.ask(Ping())) == ([], 2)
        assert len(system._runtime.timers) <= 4


def _arm(how: str, seconds: float, actor: Any) -> None:
    getattr(actor.context, how)(seconds, "tick")


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan")])
async def test_a_timer_needs_a_sensible_time(seconds: float) -> None:
    """after and every refuse negative and endless times by name."""
    async with open_system(one()) as system:
        for arm in ("after", "every"):
            request = Run(partial(_arm, arm, seconds))
            with pytest.raises(ActorCrashed, match="SpecError: seconds: must be a finite number"):
                await system.ref("/a").ask(request)


async def test_a_helper_runs_beside_the_messages(autojump_clock: MockClock) -> None:
    """A helper's work does not hold up the mailbox."""
    journal = Journal()

    async def work(seconds: float) -> None:
        await trio.sleep(seconds)
        journal.note("worked")

    async with open_system(one(journal)) as system:
        helper = await system.ref("/a").ask(Run(lambda actor: actor.context.spawn(work, 5)))
        assert await system.ref("/a").ask(Ping()) == 1
        await trio.sleep(6)

    assert helper.name == "/a#work"
    assert "worked" in journal.lines


async def test_a_helper_that_crashes_takes_the_actor_with_it(autojump_clock: MockClock) -> None:
    """The crash of a helper interrupts the handler and is the incarnation's crash."""
    journal = Journal()

    async def work() -> None:
        await trio.sleep(1)
        raise Boom("helper")

    async with open_system(one(journal), on_event=journal.on_event) as system:
        ref = system.ref("/a")
        await ref.ask(Run(lambda actor: actor.context.spawn(work, name="worker")))
        with pytest.raises(ActorCrashed, match="Boom: helper"):
            await ref.ask(nap(1000), timeout=2000)

        assert trio.current_time() == 1
        assert await ref.ask(Ping()) == 2
        assert "stop a crashed" in journal.lines


async def test_helpers_are_cancelled_and_awaited_when_the_actor_ends(autojump_clock: MockClock) -> None:
    """The next incarnation starts after the last helper of the old one has ended."""
    journal = Journal()

    async def work() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)
            journal.note("helper done")

    async with open_system(one(journal), on_event=journal.on_event) as system:
        ref = system.ref("/a")
        await ref.ask(Run(lambda actor: actor.context.spawn(work)))
        ref.tell(Crash())
        assert await ref.ask(Ping()) == 2

    assert journal.lines[:4] == ["start a", "stop a crashed", "helper done", "start a"]


async def test_a_helper_can_be_cancelled_alone() -> None:
    """Helper.cancel() ends the helper and nothing else."""
    async with open_system(one()) as system:
        helper = await system.ref("/a").ask(Run(lambda actor: actor.context.spawn(trio.sleep_forever)))
        helper.cancel()
        await wait_all_tasks_blocked()

        assert await system.ref("/a").ask(Ping()) == 1


async def test_a_helper_may_open_nurseries_and_its_group_is_reported() -> None:
    """An exception group out of a helper is a crash like any other."""

    async def fail() -> None:
        raise Boom("inner")

    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)

    journal = Journal()
    async with open_system(one(), on_event=journal.on_event) as system:
        await system.ref("/a").ask(Run(lambda actor: actor.context.spawn(work)))
        await wait_all_tasks_blocked()

        crash = system.snapshot("/a").last_crash
        assert crash is not None
        assert crash.type == "ExceptionGroup"
        assert "Boom: inner" in crash.traceback


async def test_an_ended_context_refuses(autojump_clock: MockClock) -> None:
    """A context of an incarnation that has ended refuses every call, and its stop() does not touch the next one."""
    async with open_system(one()) as system:
        old: Context = await system.ref("/a").ask(Run(lambda actor: actor.context))
        system.kill("/a")
        assert await system.ref("/a").ask(Ping()) == 2

        actions: list[Callable[[], object]] = [
            lambda: old.after(1, "x"),
            lambda: old.every(1, "x"),
            lambda: old.spawn(trio.sleep_forever),
            lambda: old.defer(),
            lambda: old.monitor(old.ref),
            lambda: old.stash(),
            lambda: old.continue_with("x"),
        ]
        for action in actions:
            with pytest.raises(ActorStopped, match="has ended its incarnation 1"):
                action()
        old.stop()
        assert await system.ref("/a").ask(Ping()) == 2


async def test_defer_needs_an_ask_in_hand() -> None:
    """Deferring a message that came by tell is an error, as there is no caller to reply to."""
    journal = Journal()

    def defer(actor: Any) -> None:
        with pytest.raises(SupervisorError, match="there is no ask in hand to defer"):
            actor.context.defer()
        journal.note("refused")

    async with open_system(one()) as system:
        system.ref("/a").tell(Run(defer))
        await system.ref("/a").ask(Ping())

    assert journal.lines == ["refused"]


async def test_there_are_limits() -> None:
    """An incarnation holds at most so many timers; one more is refused by name and number."""

    def hoard(actor: Any) -> int:
        for _ in range(MAX_HELD):
            actor.context.after(1000, "x")
        with pytest.raises(TooMany, match=f"/a has {MAX_HELD} timers, which is the limit"):
            actor.context.after(1000, "x")
        return MAX_HELD

    async with open_system(one()) as system:
        assert await system.ref("/a").ask(Run(hoard)) == MAX_HELD


async def test_paths_lead_to_refs() -> None:
    """ref_to finds declared siblings, even before they are started; other paths raise."""
    found: list[str] = []

    class First(Actor):
        def __init__(self, context: Context) -> None:
            found.append(context.ref_to("/last").path)
            found.append(context.supervisor("/").path)
            context.ref_to("/last").tell("early")
            for wrong in ("/nobody", "last", "", "/last/child", "//"):
                with pytest.raises(NoSuchActor):
                    context.ref_to(wrong)
            with pytest.raises(NoSuchActor):
                context.supervisor("/last")

    journal = Journal()
    spec = SupervisorSpec([ChildSpec("first", First), probe("last", journal)])
    async with open_system(spec) as system:
        await system.ref("/last").ask(Ping())

    assert found == ["/last", "/"]
    assert got(journal) == ["last got early"]


async def test_continue_comes_first(autojump_clock: MockClock) -> None:
    """What `started` continues with is received before anything that was queued already."""
    journal = Journal()

    class TwoSteps(Actor):
        async def started(self) -> None:
            await trio.sleep(1)
            self.context.continue_with("second step")

        async def receive(self, message: Any) -> Any:
            journal.note(str(message))

    spec = SupervisorSpec([ChildSpec("two", lambda _: TwoSteps())])
    async with open_system(spec, on_event=journal.on_event) as system:
        system.kill("/two")
        system.ref("/two").tell("queued")
        await trio.sleep(2)

    assert journal.lines == ["second step", "second step", "queued"]


async def test_a_continuation_dies_with_its_incarnation() -> None:
    """A continuation of one incarnation is not received by the next one."""
    journal = Journal()

    def leave(actor: Any) -> None:
        actor.context.continue_with("unfinished")
        raise Boom

    async with open_system(one(journal), on_event=journal.on_event) as system:
        system.ref("/a").tell(Run(leave))
        assert await system.ref("/a").ask(Ping()) == 2

    assert got(journal) == []
