"""The heap of deadlines."""

from __future__ import annotations

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor.running.timers import Timers


class Alarm:
    """Notes when it expires."""

    def __init__(self, name: int, rung: list[tuple[float, int]]) -> None:
        self.name = name
        self.rung = rung
        self.due: float | None = None

    def expire(self) -> None:
        self.rung.append((trio.current_time(), self.name))


async def test_deadlines_come_in_order_whatever_the_order_of_arming(autojump_clock: MockClock) -> None:
    """Each expires at its time; an earlier one that is armed later wakes the server in time."""
    rung: list[tuple[float, int]] = []
    timers = Timers(trio.current_time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        await wait_all_tasks_blocked()
        for due in (50, 10, 30, 20, 40):
            timers.arm(Alarm(due, rung), due)
            await wait_all_tasks_blocked()
        await trio.sleep(100)
        nursery.cancel_scope.cancel()

    assert rung == [(10, 10), (20, 20), (30, 30), (40, 40), (50, 50)]


async def test_disarmed_and_moved_deadlines(autojump_clock: MockClock) -> None:
    """A disarmed item does not expire; one that is armed again expires once, at its last time."""
    rung: list[tuple[float, int]] = []
    timers = Timers(trio.current_time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        disarmed, later, sooner = (Alarm(number, rung) for number in range(3))
        timers.arm(disarmed, 1)
        disarmed.due = None
        timers.arm(later, 2)
        timers.arm(later, 5)
        timers.arm(sooner, 9)
        timers.arm(sooner, 3)
        await trio.sleep(20)
        nursery.cancel_scope.cancel()

    assert rung == [(3, 2), (5, 1)]


async def test_an_item_may_arm_itself_again_as_it_goes_off(autojump_clock: MockClock) -> None:
    """Arming from within expire() works, also with a sweep in between."""
    rung: list[float] = []
    timers = Timers(trio.current_time)

    class Metronome(Alarm):
        def expire(self) -> None:
            rung.append(trio.current_time())
            for number in range(200):
                idle = Alarm(number, [])
                timers.arm(idle, 1000)
                idle.due = None
            if len(rung) < 3:
                timers.arm(self, trio.current_time() + 1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        timers.arm(Metronome(0, []), 1)
        await trio.sleep(20)
        nursery.cancel_scope.cancel()

    assert rung == [1, 2, 3]


@given(st.lists(st.booleans(), max_size=2000))
def test_the_heap_holds_no_more_than_twice_what_is_armed(stays: list[bool]) -> None:
    """However many are armed and disarmed, the heap stays within 64 or twice the armed ones, plus the new one."""
    timers = Timers(lambda: 0.0)
    armed = 0
    for number, stay in enumerate(stays):
        alarm = Alarm(number, [])
        timers.arm(alarm, 1.0 + number)
        if stay:
            armed += 1
        else:
            alarm.due = None

        assert len(timers) <= max(64, 2 * (armed + 1)) + 1
