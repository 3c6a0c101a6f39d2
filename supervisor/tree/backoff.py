"""The wait before the next restart. Pure: the caller passes the random source."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from supervisor.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Delays between the restarts of one child, in seconds.

    The first restart after a quiet time waits ``initial``; the following ones wait ``minimum``, ``minimum * factor``,
    ``minimum * factor ** 2`` … up to ``maximum``. With ``jitter`` each wait is drawn evenly from 0 to that number, so
    that children which crashed together do not restart together. After a child has run for ``reset_after``, the delays
    start again.
    """

    initial: float = 0.0
    minimum: float = 1.0
    maximum: float = 300.0
    factor: float = 2.0
    jitter: bool = True
    reset_after: float = 60.0

    def __post_init__(self) -> None:
        for field in ("initial", "minimum", "maximum", "factor", "reset_after"):
            value = getattr(self, field)
            if type(value) not in (int, float) or not 0 <= value < math.inf:
                raise SpecError(f"backoff.{field}", f"must be a finite number of at least 0, not {value!r}")
        if self.maximum < self.minimum:
            raise SpecError("backoff.maximum", f"must not be below minimum ({self.minimum!r}), but is {self.maximum!r}")
        if self.factor < 1:
            raise SpecError("backoff.factor", f"must be at least 1, not {self.factor!r}")

    def ceiling(self, attempt: int) -> float:
        """Return the wait before restart number ``attempt`` in a row (1 is the first), without jitter."""
        if attempt <= 1:
            return min(self.initial, self.maximum)
        try:
            return min(self.maximum, self.minimum * self.factor ** (attempt - 2))
        except OverflowError:
            return self.maximum

    def delay(self, attempt: int, random: Random) -> float:
        """Return the wait before restart number ``attempt`` in a row."""
        ceiling = self.ceiling(attempt)
        return random.uniform(0.0, ceiling) if self.jitter else ceiling
