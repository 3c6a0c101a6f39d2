"""All deadlines of a system in one heap, served by one task: a timeout costs a heap push instead of a cancel scope."""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final, Protocol, final

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, wait_task_rescheduled

from supervisor.messaging.future import WOKEN, reschedule

_SMALL: Final = 64


class Expiring(Protocol):
    """An object with at most one deadline at a time."""

    due: float | None
    """Set by `Timers.arm`; set it to None (or another time) to disarm the heap's entry."""

    def expire(self) -> None:
        """Called at the deadline. Must not raise; ``due`` is None already."""
        ...


@final
class Timers:
    """Deadlines in the time of ``now``. Disarmed entries are removed when they make up half of the heap."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._heap: list[tuple[float, int, Expiring]] = []
        self._number = count()
        self._sweep_at = _SMALL
        self._wakes_at = -math.inf
        self._task: Task | None = None

    def arm(self, item: Expiring, due: float) -> None:
        """Have ``item.expire()`` called at ``due``; replaces an earlier deadline of the item."""
        item.due = due
        heap = self._heap
        heappush(heap, (due, next(self._number), item))
        if due < self._wakes_at:
            self._wake()
        if len(heap) > self._sweep_at:
            self._sweep()

    def __len__(self) -> int:
        """Entries in the heap, disarmed ones included."""
        return len(self._heap)

    def next_due(self) -> float | None:
        """Return the earliest armed deadline, None without one."""
        heap = self._heap
        while heap and heap[0][2].due != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    async def run(self) -> None:
        """Serve the deadlines until cancelled."""
        offset = trio.current_time() - self._now()
        while True:
            self._expire_due()
            self._wakes_at = self._heap[0][0] if self._heap else math.inf
            with trio.CancelScope(deadline=self._wakes_at + offset):
                self._task = current_task()
                await wait_task_rescheduled(self._abort)

    def _expire_due(self) -> None:
        now = self._now()
        heap = self._heap
        while heap and heap[0][0] <= now:
            due, _, item = heappop(heap)
            if item.due == due:
                item.due = None
                item.expire()

    def _sweep(self) -> None:
        self._heap[:] = [entry for entry in self._heap if entry[2].due == entry[0]]
        heapify(self._heap)
        self._sweep_at = max(_SMALL, 2 * len(self._heap))

    def _wake(self) -> None:
        self._wakes_at = -math.inf
        task, self._task = self._task, None
        if task is not None:
            reschedule(task, WOKEN)

    def _abort(self, _: RaiseCancelT) -> Abort:
        self._task = None
        return Abort.SUCCEEDED
