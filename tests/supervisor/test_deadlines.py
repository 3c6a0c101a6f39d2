"""Deadlines of starts, handlers and stops, and tasks that cannot be ended at all."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import (
    Actor,
    ChildSpec,
    Context,
    DynamicSupervisorSpec,
    Intensity,
    Restart,
    SupervisorSpec,
    open_system,
)
from supervisor.errors import (
    ActorCrashed,
    ActorStopped,
    ChildStuck,
    SpecError,
    StartFailed,
)
from tests.supervisor.probes import Boom, Journal, Ping, Run, nap, probe


def one(journal: Journal | None = None, **options: Any) -> SupervisorSpec:
    return SupervisorSpec([probe("a", journal, **options)], intensity=Intensity(99, 1.0))


async def test_a_handler_that_takes_too_long_is_a_crash(autojump_clock: MockClock) -> None:
    """After ``handler_timeout`` seconds in one message the incarnation crashes, cleans up and is restarted."""
    journal = Journal()
    async with open_system(one(journal, handler_timeout=2.0), on_event=journal.on_event) as system:
        with pytest.raises(ActorCrashed, match="HandlerTimeout: did not handle Run within 2 s"):
            await system.ref("/a").ask(nap(1000), timeout=2000)

        assert trio.current_time() == 2
        assert await system.ref("/a").ask(Ping()) == 2
        assert journal.lines[:3] == ["start a", "stop a crashed", "start a"]


async def test_many_quick_messages_are_not_a_slow_handler(autojump_clock: MockClock) -> None:
    """The deadline is for one message: ten of one second each pass a limit of two."""
    async with open_system(one(handler_timeout=2.0)) as system:
        for _ in range(10):
            system.ref("/a").tell(nap(1))

        assert await system.ref("/a").ask(Ping(), timeout=60) == 1
        assert trio.current_time() == 10


async def test_an_idle_actor_with_a_deadline_arms_nothing(autojump_clock: MockClock) -> None:
    """An idle actor's handler deadline is not armed."""
    async with open_system(one(handler_timeout=2.0)) as system:
        await system.ref("/a").ask(Ping())
        await trio.sleep(100)

        assert len(system._runtime.timers) == 0


async def test_a_start_that_takes_too_long_fails(autojump_clock: MockClock) -> None:
    """After ``start_timeout`` seconds a start is cancelled and counts as failed."""

    class Slow(Actor):
        async def started(self) -> None:
            await trio.sleep(1000)

    with pytest.raises(StartFailed, match="did not start within 3 s"):
        async with open_system(SupervisorSpec([ChildSpec("slow", lambda _: Slow(), start_timeout=3)])):
            pass

    assert trio.current_time() == 3


async def test_a_start_that_is_stuck_fails_too(autojump_clock: MockClock) -> None:
    """A start that shields itself is reported as stuck, and the supervisor's start fails without waiting for it."""
    journal = Journal()

    class Shielded(Actor):
        async def started(self) -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(1000)

    spec = SupervisorSpec([probe("a", journal), ChildSpec("stuck", lambda _: Shielded(), start_timeout=3)])
    with pytest.raises(StartFailed):
        async with open_system(spec, on_event=journal.on_event):
            pass

    stuck = next(event for event in journal.events if event.kind == "stuck")
    assert (stuck.path, stuck.time) == ("/stuck", 3 + 5)
    assert journal.lines == ["start a", "stop a shutdown"]
    assert trio.current_time() == 1000


async def test_a_stuck_incarnation_is_never_doubled(autojump_clock: MockClock) -> None:
    """A killed incarnation that does not end shows as stuck and is restarted only once it has ended."""

    async def shield(_: Any) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(1000)

    journal = Journal()
    async with open_system(one(journal), on_event=journal.on_event) as system:
        system.ref("/a").tell(Run(shield))
        await wait_all_tasks_blocked()
        system.kill("/a")
        await trio.sleep(10)
        seen = system.snapshot("/a")
        assert (seen.is_stuck, seen.incarnation, journal.kinds("/a")[-1]) == (True, 1, "stuck")
        with pytest.raises(ChildStuck):
            await system.supervisor("/").terminate_child("a")
        await trio.sleep(1000)

        assert system.snapshot("/a").is_stuck is False


async def test_s4_a_child_that_shields_itself_is_reported_as_stuck(autojump_clock: MockClock) -> None:
    """Its `shutdown` seconds to stop by itself, `stuck_after` more to obey the cancellation; then the supervisor goes on without it."""
    journal = Journal()
    spec = SupervisorSpec([probe("a", journal, shutdown=2.0), probe("b", journal)])
    async with open_system(spec, on_event=journal.on_event, stuck_after=3.0) as system:
        system.ref("/a").tell(Run(shielded))
        await wait_all_tasks_blocked()
        with pytest.raises(ChildStuck):
            await system.supervisor().terminate_child("a")
        told_at = trio.current_time()
        assert await system.ref("/b").ask(Ping()) == 1

    (stuck,) = [event for event in journal.events if event.kind == "stuck"]
    assert (stuck.path, stuck.time, told_at) == ("/a", 2 + 3, 2 + 3)
    print(f"S4: shutdown 2 s, stuck_after 3 s: reported as stuck after {stuck.time:g} s, its neighbour answers")


async def shielded(_: Any) -> None:
    """Cannot be cancelled for a thousand seconds."""
    with trio.CancelScope(shield=True):
        await trio.sleep(1000)


async def test_a_stuck_incarnation_is_not_doubled_by_a_new_place_either(autojump_clock: MockClock) -> None:
    """When the supervisor of a stuck dynamic child is restarted, a child of that id is refused until the stuck one has ended."""
    spec = SupervisorSpec([ChildSpec("dyn", DynamicSupervisorSpec())], intensity=Intensity(9, 1.0))
    async with open_system(spec, on_event=Journal().on_event) as system:
        dyn = system.supervisor("/dyn")
        (await dyn.start_child(probe("a"))).tell(Run(shielded))
        await wait_all_tasks_blocked()
        system.kill("/dyn")
        await trio.sleep(10)
        assert system.snapshot("/dyn").incarnation == 2
        with pytest.raises(ChildStuck, match="/dyn/a"):
            await dyn.start_child(probe("a"))
        await trio.sleep(1000)

        assert await (await dyn.start_child(probe("a"))).ask(Ping()) == 1


async def test_a_declared_child_waits_for_its_stuck_predecessor(autojump_clock: MockClock) -> None:
    """A temporary child that was stuck when its supervisor ended is started again only once it has ended."""
    inner = SupervisorSpec([probe("a", restart=Restart.TEMPORARY), probe("b")])
    async with open_system(SupervisorSpec([ChildSpec("sup", inner)]), on_event=Journal().on_event) as system:
        system.ref("/sup/a").tell(Run(shielded))
        await wait_all_tasks_blocked()
        system.kill("/sup")
        await trio.sleep(500)
        assert [child.state for child in system.snapshot("/sup").children] == ["starting", "restarting"]
        await trio.sleep(600)

        assert [child.state for child in system.snapshot("/sup").children] == ["running", "running"]
        assert await system.ref("/sup/a").ask(Ping()) == 1


async def test_a_constructor_that_fails_takes_its_helpers_with_it(autojump_clock: MockClock) -> None:
    """Helpers spawned by a constructor that then raises are cancelled and awaited before the start has failed."""
    ended: list[float] = []

    async def linger() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)
            ended.append(trio.current_time())

    def start(context: Context) -> Actor:
        context.spawn(linger)
        raise Boom("half built")

    async with open_system(SupervisorSpec([]), on_event=Journal().on_event) as system:
        with pytest.raises(StartFailed, match="half built"):
            await system.supervisor().start_child(ChildSpec("a", start))

        assert ended == [3]


async def test_an_actor_may_stop_in_its_start() -> None:
    """Context.stop in `started` lets the start succeed and ends the incarnation right after it, before any message."""
    journal = Journal()

    class Brief(Actor):
        async def started(self) -> None:
            self.context.stop()

        async def receive(self, message: Any) -> Any:
            journal.note("received")

    async with open_system(SupervisorSpec([]), on_event=journal.on_event) as system:
        spec = ChildSpec("brief", lambda _: Brief(), restart=Restart.TRANSIENT)
        ref = await system.supervisor().start_child(spec)
        with pytest.raises(ActorStopped):
            await ref.ask(Ping())

    assert (journal.lines, journal.kinds("/brief")) == ([], ["started", "stopped"])


@pytest.mark.parametrize("seconds", [nan, -1.0])
def test_the_time_after_which_a_task_is_stuck_has_to_make_sense(seconds: float) -> None:
    """It is refused before anything runs."""
    with pytest.raises(SpecError, match="stuck_after: must be a number of seconds of at least 0, or inf, not"):
        open_system(SupervisorSpec([]), stuck_after=seconds)
