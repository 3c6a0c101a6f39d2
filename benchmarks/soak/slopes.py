"""Estimates how fast a series grows, and with what confidence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BLOCKS: Final = 24
"""Neighbouring samples are strongly correlated, blocks of them less."""
MOST_ALIKE: Final = 0.9
FEWEST_BLOCKS: Final = 6
TOGETHER: Final = 40
"""How many slopes one run judges. At 95 % each, two runs in three would find growth by chance."""
T: Final = {4: 8.122, 5: 6.541, 6: 5.709, 8: 4.864, 10: 4.442, 14: 4.026, 18: 3.822, 22: 3.7}
"""Student's t by degrees of freedom, two-sided, for 5 % divided by `TOGETHER`, so that all intervals of a run hold together with 95 %."""
HOUR_S: Final = 3600.0

Point = tuple[float, float]
"""Seconds, value."""


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth an hour by least squares. With 95 % confidence all true slopes of a run are within ``per_hour`` ± ``margin``."""

    per_hour: float
    margin: float
    first: float
    """The value of the first block."""
    last: float

    def is_surely_above(self, floor: float) -> bool:
        """Return whether it grows significantly and by more than ``floor`` an hour."""
        return self.per_hour > floor and self.per_hour - self.margin > 0.0


def slope(points: Sequence[Point], *, of_least: bool = False) -> Slope | None:
    """Return the slope of a series in order of time; None when there are too few points. ``of_least``: use the minimum of each block, where
    work under way would hide what is always held."""
    means = [_least(block) if of_least else _mean(block) for block in _blocks(points)]
    if len(means) < FEWEST_BLOCKS:
        return None
    times, values = [time for time, _ in means], [value for _, value in means]
    mean_time, mean_value = sum(times) / len(times), sum(values) / len(values)
    spread = sum((time - mean_time) ** 2 for time in times)
    rise = sum((time - mean_time) * (value - mean_value) for time, value in means) / spread
    left = [value - mean_value - rise * (time - mean_time) for time, value in means]
    error = math.sqrt(sum(each * each for each in left) / (len(means) - 2) / spread) * _widening(left)
    return Slope(rise * HOUR_S, _t(len(means) - 2) * error * HOUR_S, values[0], values[-1])


def _widening(left: Sequence[float]) -> float:
    """Return the factor by which autocorrelation of the residuals widens the interval, compared with independent blocks."""
    squares = sum(each * each for each in left)
    alike = sum(one * other for one, other in itertools.pairwise(left)) / squares if squares else 0.0
    alike += (2.0 + 4.0 * alike) / len(left)  # fitting a line to few blocks lowers their correlation: correct for it
    alike = min(max(alike, 0.0), MOST_ALIKE)
    return math.sqrt((1.0 + alike) / (1.0 - alike))


def _t(freedom: int) -> float:
    """Return Student's t. Between two entries of the table, take the larger value."""
    return T[max(known for known in T if known <= freedom)]


def _blocks(points: Sequence[Point]) -> list[Sequence[Point]]:
    blocks = min(BLOCKS, len(points) // 2)
    edges = [round(number * len(points) / max(blocks, 1)) for number in range(blocks + 1)]
    return [points[start:end] for start, end in itertools.pairwise(edges)]


def _mean(points: Sequence[Point]) -> Point:
    return sum(time for time, _ in points) / len(points), sum(value for _, value in points) / len(points)


def _least(points: Sequence[Point]) -> Point:
    return _mean(points)[0], min(value for _, value in points)
