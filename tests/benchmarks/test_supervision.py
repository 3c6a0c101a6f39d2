"""How the promises of the supervision core are judged."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.supervision import main
from benchmarks.supervision.competitors import Competitors
from benchmarks.supervision.measures import Measure
from benchmarks.supervision.table import flat, noise, row


def _measure(*, at_least: float, at_most_us: float | None = None, shown: int = 1) -> Measure:
    return Measure(
        name="work",
        yardstick=float,
        ours=float,
        count=1,
        yardstick_count=1,
        at_least=at_least,
        at_most_us=at_most_us,
        shown=shown,
    )


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """One disturbed round does not count; times are medians in microseconds."""
    found = row(_measure(at_least=2.0), [(6e-6, 2e-6), (6e-6, 2e-6), (60e-6, 2e-6)])

    assert found.ratio == pytest.approx(3)
    assert (found.ours, found.yardstick, found.verdict) == (2, 6, "met")


def test_a_promise_may_be_missed_by_the_noise_and_not_by_more() -> None:
    """The noise is half of what lies between the quartiles of the rounds."""
    times = [(ratio * 1e-6, 1e-6) for ratio in (1.0, 1.5, 2.0)]

    assert noise([1.0, 1.5, 2.0]) == 0.5
    assert row(_measure(at_least=1.9), times).verdict == "met within noise"
    assert row(_measure(at_least=2.1), times).verdict == "MISSED"
    assert not row(_measure(at_least=2.1), times).holds


def test_two_rounds_say_nothing_of_the_noise() -> None:
    """Then there is no allowance for noise."""
    assert noise([1.0, 9.0]) == 0.0


def test_a_promise_in_time_is_scaled_by_the_machine() -> None:
    """On a machine half as fast twice the time is accepted, and the verdict says so; the time shown is that of all pieces."""
    slow = row(_measure(at_least=0.25, at_most_us=40.0, shown=1_000), [(20e-6, 60e-6)] * 3)
    fast = row(_measure(at_least=0.25, at_most_us=40.0, shown=1_000), [(10e-6, 30e-6)] * 3)

    assert (slow.ours, slow.unit, slow.at_most, slow.verdict) == (60, "ms", 40, "met, scaled")
    assert (fast.ours, fast.verdict) == (30, "met")


def test_flat_compares_many_siblings_with_few() -> None:
    """A restart among many that takes twice as long is a miss, whatever the machine did in between."""
    few, many = [(10e-6, 30e-6)] * 3, [(20e-6, 60e-6)] * 3

    assert flat(few, many).verdict == "met"
    assert flat(few, [(10e-6, 60e-6)] * 3).verdict == "MISSED"


def test_a_library_that_fails_is_left_out_with_its_reason() -> None:
    """It has no figures and is not tried again."""
    others = Competitors(
        {"pykka": Path(sys.executable), "nonsense": Path(sys.executable), "gone": Path("/nowhere/python")}
    )
    others.round()

    assert others.left_out["nonsense"] == "KeyError: 'nonsense'"
    assert "No such file" in others.left_out["gone"]
    assert others.microseconds("nonsense", "tell") is None
    assert (others.microseconds("pykka", "tell") or 0) > 0
    assert others.microseconds("pykka", "no such measure") is None


@pytest.mark.slow
def test_the_run_prints_every_promise_and_fails_when_one_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    """A small run: the exit status agrees with the table, however busy the machine is."""
    status = main(["--rounds", "1", "--scale", "0.1"])
    printed = capsys.readouterr().out

    for name in ("tell", "ask with a timeout", "spawn with ack", "restart", "crashes", "stop", "traced", "memory"):
        assert name in printed
    assert (status == 1) == ("MISSED" in printed)
    assert ("every promise is kept" in printed) == (status == 0)
