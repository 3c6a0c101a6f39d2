"""Time and randomness under a test's control."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio._core._run as trio_run  # the scheduler's own random generator; trio has no public way to seed it

_SWITCH = "_ALLOW_DETERMINISTIC_SCHEDULING"


@contextmanager
def seeded_scheduling(seed: int) -> Iterator[None]:
    """Have trio run tasks in an order that depends on ``seed`` alone (and on what the tasks do)."""
    dice = trio_run._r
    state = dice.getstate()
    switches = vars(trio_run)
    was_allowed = switches[_SWITCH]
    switches[_SWITCH] = True
    dice.seed(seed)
    try:
        yield
    finally:
        switches[_SWITCH] = was_allowed
        dice.setstate(state)
