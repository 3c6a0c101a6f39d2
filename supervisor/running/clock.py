"""The time of a system."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from trio.abc import Clock

QUANTUM: Final = 250e-6


def fast_clock(clock: Clock) -> Callable[[], float]:
    """Return a function that runs at the pace of trio's clock, possibly with another zero.

    trio's own clock is `time.perf_counter` plus an offset; reading that directly takes half the time, and every message
    is stamped. Any other clock (a test's) is read itself.
    """
    return time.perf_counter if _is_real(clock) else clock.current_time


def turn_seconds(clock: Clock) -> float:
    """Return how long an actor or a supervisor may run without letting others run.

    A test's clock may stand still, and a turn would then never end: there a turn is one message.
    """
    return QUANTUM if _is_real(clock) else 0.0


def _is_real(clock: Clock) -> bool:
    return type(clock).__name__ == "SystemClock"
