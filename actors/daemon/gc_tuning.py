"""Keeps full garbage collections short: one holds up every company, and looks at all of them.

What a running company consists of lives as long as the company; looking through a thousand of them takes a quarter of a second, every few
seconds when there is traffic. So what has survived a collection that took long is passed over by the next ones (`gc.freeze`). Nearly all
that ends is freed by counting references, with or without a collector. For the rest everything is looked through again from time to time.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, final

LONG_S: Final = 0.05
REVIEW_EVERY_S: Final = 3600.0
_FULL: Final = 2


@contextmanager
def passing_over_survivors(*, clock: Callable[[], float] = time.perf_counter) -> Generator[None]:
    """Within the block, no full collection but one an hour takes longer than it takes to look through what came since the last long one."""
    survivors = _Survivors(clock)
    gc.callbacks.append(survivors)
    try:
        yield
    finally:
        gc.callbacks.remove(survivors)


@contextmanager
def frozen() -> Generator[None]:
    """Within the block, the collector passes over everything that was there when it was entered.

    Enter it once the tree is started: a full collection then costs microseconds instead of 70 ms at 10,000 actors.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@final
class _Survivors:
    """A callback of the collector's: before and after each collection."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began = self._reviewed = clock()

    def __call__(self, phase: str, info: Mapping[str, Any]) -> None:
        if info["generation"] != _FULL:
            return
        now = self._clock()
        if phase == "start":
            self._began = now
        elif now - self._began >= LONG_S:
            gc.freeze()
        elif now - self._reviewed >= REVIEW_EVERY_S:
            self._reviewed = now
            gc.unfreeze()  # the next one looks through everything
