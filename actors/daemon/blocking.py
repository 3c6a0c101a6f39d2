"""Log each task that keeps all others from running for too long. An actor's task is named by its path."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import final

import structlog
import trio

Report = Callable[[str, float], object]
"""Called with the name of the task and the seconds for which no other task could run. Must not block."""


def log_blocking(after_s: float) -> AbstractContextManager[None]:
    """Within the block, log each task that kept all others from running for ``after_s`` seconds."""
    log = structlog.get_logger("wasup.blocking")

    def report(task: str, seconds: float) -> None:
        log.warning("blocked", task=task, seconds=round(seconds, 3))

    return report_blocking(after_s, report)


@contextmanager
def report_blocking(after: float, report: Report, *, clock: Callable[[], float] = time.perf_counter) -> Generator[None]:
    """Within the block, have ``report`` called after each step of a task of this event loop that took ``after`` seconds or more.

    A task's step is what it does from one checkpoint to the next. It is reported when it is over: a step that never ends can only be
    noticed from outside the process.
    """
    watch = _Watch(after, report, clock)
    trio.lowlevel.add_instrument(watch)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(watch)


@final
class _Watch(trio.abc.Instrument):
    """Takes the end of one step, or the loop's return from waiting, as the start of the next: one call for each step, not two."""

    def __init__(self, after: float, report: Report, clock: Callable[[], float]) -> None:
        self._after = after
        self._report = report
        self._clock = clock
        self._begun = clock()

    def after_io_wait(self, timeout: float) -> None:
        self._begun = self._clock()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        now = self._clock()
        lasted, self._begun = now - self._begun, now
        if lasted >= self._after:
            self._report(task.name, lasted)
            self._begun = self._clock()
