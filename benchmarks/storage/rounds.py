"""The measurements of each round, by name."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Rounds:
    """Times or rates. Each round has each name once, so that values of one round can be compared."""

    values: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def add(self, name: str, value: float) -> None:
        """Add a round's value."""
        self.values.setdefault(name, []).append(value)

    async def time(self, name: str, fn: Callable[[], Awaitable[object]]) -> None:
        """Add the milliseconds that a call takes."""
        began = time.perf_counter()
        await fn()
        self.add(name, 1000 * (time.perf_counter() - began))

    def median(self, name: str) -> float:
        """Return the median of all rounds."""
        return statistics.median(self.values[name])

    def times(self, name: str, other: str) -> float:
        """Return the median, over the rounds, of the ratio of ``name`` to ``other``."""
        pairs = zip(self.values[name], self.values[other], strict=True)
        return statistics.median(one / two for one, two in pairs)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, round(share * (len(values) - 1)))]
