"""The result of the rounds: a row for each promise, and whether it holds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.report import print_table
from benchmarks.supervision.competitors import Competitors
from benchmarks.supervision.measures import Measure

HEADER: Final = ("", "ours", "raw", "ratio", "noise", "at least", "or within", "verdict", "Pykka", "triotp")
NAMES: Final = ("pykka", "triotp")
US_IN_MS: Final = 1_000
FEWEST_ROUNDS: Final = 3
"""With fewer rounds the noise cannot be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line. ``yardstick``, ``ours`` and ``at_most`` are in ``unit``; ``yardstick`` is for one piece of raw work."""

    name: str
    yardstick: float
    ours: float
    ratio: float
    noise: float
    at_least: float
    at_most: float | None = None
    """The absolute promise, on the machine that it was made for."""
    unit: str = "us"
    yardstick_unit: str = "us"

    @property
    def holds(self) -> bool:
        """Whether the promise is kept, or missed by no more than the noise."""
        return self.ratio + self.noise >= self.at_least

    @property
    def verdict(self) -> str:
        """The verdict in words. A time may exceed its absolute promise here and still hold for the machine that it was made for."""
        if not self.holds:
            return "MISSED"
        if self.ratio < self.at_least:
            return "met within noise"
        return "met" if self.at_most is None or self.ours <= self.at_most else "met, scaled"


def row(measure: Measure, times: Sequence[tuple[float, float]]) -> Row:
    """Make a row from the seconds that yardstick and ours took for a piece of work, round by round."""
    ratios = [yardstick / ours for yardstick, ours in times]
    factor = measure.shown / (US_IN_MS if measure.shown > 1 else 1)
    return Row(
        name=measure.name,
        yardstick=statistics.median(yardstick for yardstick, _ in times) * 1e6,
        ours=statistics.median(ours for _, ours in times) * 1e6 * factor,
        ratio=statistics.median(ratios),
        noise=noise(ratios),
        at_least=measure.at_least,
        at_most=measure.at_most_us * factor if measure.at_most_us is not None else None,
        unit="ms" if measure.shown > 1 else "us",
    )


def flat(few: Sequence[tuple[float, float]], many: Sequence[tuple[float, float]]) -> Row:
    """Make the row for restarts: one must cost the same among 10 and among 10,000 siblings, within a quarter."""
    ratios = [
        (few_ours / few_raw) / (many_ours / many_raw)
        for (few_raw, few_ours), (many_raw, many_ours) in zip(few, many, strict=True)
    ]
    us = [statistics.median(ours for _, ours in times) * 1e6 for times in (few, many)]
    return Row(
        name="restart: 10,000 siblings against 10",
        yardstick=us[0],
        ours=us[1],
        ratio=statistics.median(ratios),
        noise=noise(ratios),
        at_least=0.8,
    )


def memory(name: str, raw: float, ours: float) -> Row:
    """Make a row of bytes of resident memory, whose noise is negligible."""
    return Row(
        name=name, yardstick=raw, ours=ours, ratio=raw / ours, noise=0.0, at_least=1.0, unit="B", yardstick_unit="B"
    )


def noise(ratios: Sequence[float]) -> float:
    """Return half the distance between the quartiles."""
    if len(ratios) < FEWEST_ROUNDS:
        return 0.0
    low, _, high = statistics.quantiles(ratios, n=4)
    return (high - low) / 2


def show(rows: Sequence[Row], others: Competitors) -> None:
    """Print the table, and the libraries that are not in it."""
    print_table(HEADER, [_cells(each, others) for each in rows])
    print()
    for name, why in others.left_out.items():
        print(f"{name} is left out: {why}")


def _cells(each: Row, others: Competitors) -> list[str]:
    theirs = [others.microseconds(name, each.name) for name in NAMES]
    return [
        each.name,
        f"{each.ours:,.2f} {each.unit}",
        f"{each.yardstick:,.2f} {each.yardstick_unit}",
        f"{each.ratio:.2f}",
        f"{each.noise:.2f}",
        f"{each.at_least:.2f}",
        f"{each.at_most:,.0f} {each.unit}" if each.at_most is not None else "",
        each.verdict,
        *(f"{time:,.1f} us ({time / each.ours:.1f}x)" if time is not None else "" for time in theirs),
    ]
