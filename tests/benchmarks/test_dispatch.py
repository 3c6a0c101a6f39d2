"""How benchmarks are found, and how the cost of one more company is reckoned."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import WRONG_USAGE, main
from benchmarks.footprint import PARTS, Footprint
from benchmarks.sessions.bars import judge
from benchmarks.sessions.figures import MIB, Figures, Latencies


def _footprint(**megabytes: int) -> Footprint:
    pss = {part: megabytes.get(part, 0) * MIB for part in PARTS}
    return Footprint(processes=dict.fromkeys(PARTS, 1), pss_bytes=pss, cpu_s=dict.fromkeys(PARTS, 0.0))


def test_an_unknown_name_is_told_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that no benchmark has ends with the usage status and the names there are."""
    status = main(["nonsense"])

    assert status == WRONG_USAGE
    assert "sessions" in capsys.readouterr().err


def test_the_cost_of_a_company_is_the_slope_of_the_last_two_steps() -> None:
    """What the first company costs, the fixed part, is no part of what one more costs."""
    figures = Figures()
    figures.idle[1] = _footprint(daemon=500)
    figures.idle[10] = _footprint(daemon=50, engines=60)
    figures.idle[100] = _footprint(daemon=140, engines=150)

    assert figures.company_mb() == 2.0
    assert figures.company_mb("engines") == 1.0


def test_quantiles_are_of_what_was_acknowledged() -> None:
    """The 99th of 100 in order, not the slowest; nothing sent is no latency."""
    latencies = Latencies(tuple(number / 1000 for number in range(101)), failed=3)

    assert (latencies.quantile(0.5), latencies.quantile(0.99)) == (0.05, 0.099)
    assert Latencies((), failed=1).quantile(0.99) == 0.0


def test_a_missed_bar_is_said_and_returned(capsys: pytest.CaptureFixture[str]) -> None:
    """Bars hold from the number of companies they are for on."""
    slow = Figures(companies=1000, connected_s=181.0)
    slow.idle = {10: _footprint(daemon=50), 1000: _footprint(daemon=1000)}

    assert judge([slow]) == 1
    assert "1000 companies: start to all connected: 181 s, bar 180: MISSED" in capsys.readouterr().out
    slow.companies = 10
    assert judge([slow]) == 0
