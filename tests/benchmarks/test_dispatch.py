"""How benchmarks are found, and how the cost of one more company is reckoned."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import WRONG_USAGE, main
from benchmarks.footprint import PARTS, Footprint
from benchmarks.sessions import MIB, Figures


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
