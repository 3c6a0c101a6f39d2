"""The progress bar: drawn on a terminal only."""

from __future__ import annotations

import io
import sys

import pytest

from actors.cli.progress import ProgressBar


class Screen(io.StringIO):
    """Standard error, a terminal or not."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in its one element."""
    now = [100.0]
    monkeypatch.setattr("actors.cli.progress.time.monotonic", lambda: now[0])
    return now


def drawn(monkeypatch: pytest.MonkeyPatch, clock: list[float], *, is_terminal: bool, seconds: float) -> str:
    """What a bar shows for 10 steps that take so long together."""
    screen = Screen(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    bar = ProgressBar("storing")
    for done in range(1, 11):
        clock[0] += seconds / 10
        bar(done, 10)
    bar.close()
    return screen.getvalue()


def test_long_work_is_shown(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    """From the first second on, and the line is clean at the end."""
    shown = drawn(monkeypatch, clock, is_terminal=True, seconds=5.0)

    assert "1/10" not in shown
    assert "storing [###############...............] 5/10" in shown
    assert shown.endswith("\r\x1b[K")


def test_short_work_is_not_shown(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    """No bar flickers."""
    assert drawn(monkeypatch, clock, is_terminal=True, seconds=0.9) == ""


def test_a_pipe_stays_clean(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    """Only a terminal gets a bar."""
    assert drawn(monkeypatch, clock, is_terminal=False, seconds=5.0) == ""


def test_nothing_to_do_is_no_error(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    """An empty directory has no steps."""
    monkeypatch.setattr(sys, "stderr", Screen(is_terminal=True))
    bar = ProgressBar("reading")
    clock[0] += 5.0

    bar(0, 0)
