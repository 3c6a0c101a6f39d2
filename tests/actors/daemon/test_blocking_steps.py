"""Which task blocked the event loop."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from actors.daemon.blocking import report_blocking
from supervisor import SupervisorSpec, open_system
from tests.supervisor.probes import Ping, Run, probe


@dataclass
class Stopwatch:
    """Shows the same time until it is moved."""

    now: float = 0.0
    reports: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    def __call__(self) -> float:
        return self.now

    def report(self, task: str, seconds: float) -> None:
        self.reports.append((task, seconds))

    def block(self, seconds: float) -> Run:
        """Have an actor block the event loop for so long."""

        def advance(_: object) -> None:
            self.now += seconds

        return Run(advance)


async def test_a_task_that_holds_the_loop_is_named_once() -> None:
    """A handler that blocks for 0.2 s makes one report with the actor's path; what stays below the limit makes none."""
    watch = Stopwatch()
    async with open_system(SupervisorSpec([probe("quick"), probe("slow")])) as system:
        with report_blocking(0.2, watch.report, clock=watch):
            await system.ref("/quick").ask(watch.block(0.125))
            await system.ref("/slow").ask(watch.block(0.25))
            await system.ref("/quick").ask(Ping())

    assert watch.reports == [("/slow", 0.25)]


async def test_a_step_begins_where_the_one_before_it_ended() -> None:
    """Two tasks that are due together are not reported for each other's time, nor for the time that both waited."""
    watch = Stopwatch()

    async def take(seconds: float) -> None:
        await trio.lowlevel.checkpoint()
        watch.now += seconds

    with report_blocking(0.2, watch.report, clock=watch):
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(take, 0.25 if number == 2 else 0.125, name=str(number))

    assert watch.reports == [("2", 0.25)]


async def test_a_helper_that_holds_the_loop_is_named_after_its_actor() -> None:
    """The name of a helper's task begins with its actor's path."""
    watch = Stopwatch()

    async def block() -> None:
        watch.now += 1

    async with open_system(SupervisorSpec([probe("a")])) as system:
        with report_blocking(0.2, watch.report, clock=watch):
            await system.ref("/a").ask(Run(lambda actor: actor.context.spawn(block)))
            await trio.testing.wait_all_tasks_blocked()

    assert watch.reports == [("/a#block", 1)]


async def test_waiting_holds_nobody_up() -> None:
    """Time that passes while a handler awaits is not counted."""
    watch = Stopwatch()

    async def wait(_: object) -> None:
        watch.now += 0.15
        await trio.lowlevel.checkpoint()
        watch.now += 0.15

    async with open_system(SupervisorSpec([probe("a")])) as system:
        with report_blocking(0.2, watch.report, clock=watch):
            await system.ref("/a").ask(Run(wait))

    assert watch.reports == []


async def test_after_the_block_nothing_is_reported() -> None:
    """Nor when an exception leaves it."""
    watch = Stopwatch()
    with pytest.raises(LookupError), report_blocking(0.2, watch.report, clock=watch):
        raise LookupError
    watch.now += 1
    await trio.lowlevel.checkpoint()

    assert watch.reports == []
