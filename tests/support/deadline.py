"""No test can hang the run: after `DEADLINE_S` it fails, with the stack at that moment."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import pytest

DEADLINE_S: Final = 300.0
"""For each of set-up, test and tear-down. The slowest takes a tenth of it on a busy machine."""
LONG_DEADLINE_S: Final = 7200.0
CHAOS_DEADLINE_S: Final = 1800.0
"""For those that ``make test`` leaves out."""
CHAOS_BEGINS_WITHIN_S: Final = 7200.0
"""No test of the chaos suite begins later than that after its first, so that the suite ends even when single tests hang."""
_CHAOS_BEGAN: Final = pytest.StashKey[float]()


@contextmanager
def deadline(what: str, seconds: float = DEADLINE_S) -> Generator[None]:
    """Fail when the block, which runs in the main thread, takes longer."""

    def expire(_number: int, _frame: FrameType | None) -> None:
        # Print it at once, past pytest's capture: the failure itself may be lost with the loop or the worker that it breaks.
        os.write(2, f"\n{what} took longer than {seconds:g} s\n".encode())
        pytest.fail(f"{what} took longer than {seconds:g} s")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    since = time.monotonic()
    before = signal.signal(signal.SIGALRM, expire)
    outer_s, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if outer_s:  # the deadline around this one goes on, with what is left of it
            signal.setitimer(signal.ITIMER_REAL, max(outer_s - (time.monotonic() - since), 0.001))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Apply the deadline to the fixtures of a test."""
    if item.get_closest_marker("chaos"):
        require_time_left(item.config.stash)
    with deadline(f"setting up {item.nodeid}", _limit(item)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Apply the deadline to a test."""
    with deadline(item.nodeid, _limit(item)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Apply the deadline to the tear-down of a test's fixtures."""
    with deadline(f"tearing down {item.nodeid}", _limit(item)):
        return (yield)


def require_time_left(stash: pytest.Stash) -> None:
    """Fail when the chaos suite, whose beginning is noted in ``stash``, has used up its time."""
    now = time.monotonic()
    if now - stash.setdefault(_CHAOS_BEGAN, now) > CHAOS_BEGINS_WITHIN_S:
        pytest.fail(f"not begun: the suite has taken more than {CHAOS_BEGINS_WITHIN_S / 60:g} minutes")


def _limit(item: pytest.Item) -> float:
    if item.get_closest_marker("long"):
        return LONG_DEADLINE_S
    return CHAOS_DEADLINE_S if item.get_closest_marker("chaos") else DEADLINE_S
