"""What was measured in each round, by name."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Rounds:
    """Of times or rates; a round has each name once, so that the values of one round belong together."""

    values: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def add(self, name: str, value: float) -> None:
        """What a round has found."""
        self.values.setdefault(name, []).append(value)

    async def time(self, name: str, fn: Callable[[], Awaitable[object]]) -> None:
        """Add the milliseconds that a call takes."""
        began = time.perf_counter()
        await fn()
        self.add(name, 1000 * (time.perf_counter() - began))

    def median(self, name: str) -> float:
        """The middle of all rounds."""
        return statistics.median(self.values[name])

    def times(self, name: str, other: str) -> float:
        """How many times ``other`` the value is: the median of the ratios within the rounds."""
        pairs = zip(self.values[name], self.values[other], strict=True)
        return statistics.median(one / two for one, two in pairs)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, round(share * (len(values) - 1)))]
