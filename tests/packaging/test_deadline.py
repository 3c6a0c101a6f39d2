"""The deadline of tests."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from tests.support.deadline import CHAOS_BEGINS_WITHIN_S, deadline, require_time_left


def test_what_hangs_fails() -> None:
    """A wait in the main thread ends with a failure that names the test."""
    with pytest.raises(pytest.fail.Exception, match=r"a test took longer than 0.05 s"), deadline("a test", 0.05):
        threading.Event().wait(60)


def test_a_hanging_loop_fails() -> None:
    """So does a trio loop that waits for ever; in a process of its own, because the failure breaks trio."""
    script = "import trio; from tests.support.deadline import deadline\nwith deadline('a test', 0.05): trio.run(trio.sleep, 60)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)

    assert ended.returncode == 1
    assert "a test took longer than 0.05 s" in ended.stderr


def test_what_is_in_time_goes_on() -> None:
    """The alarm is cancelled, and our handler removed."""
    with deadline("a test", 0.05):
        during = signal.getsignal(signal.SIGALRM)
    time.sleep(0.1)

    assert signal.getsignal(signal.SIGALRM) is not during
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 10


def test_the_chaos_suite_begins_nothing_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tests may take long, but not one after the other for ever."""
    clock = SimpleNamespace(monotonic=lambda: 1000.0)
    monkeypatch.setattr("tests.support.deadline.time", clock)
    stash = pytest.Stash()
    require_time_left(stash)
    clock.monotonic = lambda: 1000.0 + CHAOS_BEGINS_WITHIN_S
    require_time_left(stash)
    clock.monotonic = lambda: 1001.0 + CHAOS_BEGINS_WITHIN_S

    with pytest.raises(pytest.fail.Exception, match="the suite has taken more than 120 minutes"):
        require_time_left(stash)
