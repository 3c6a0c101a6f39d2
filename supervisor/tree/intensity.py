"""How many restarts in which time are too many. Pure: the caller passes the time."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from supervisor.errors import SpecError


@dataclass(frozen=True, slots=True)
class Intensity:
    """At most ``max_restarts`` restarts in any ``within`` seconds; one more ends the supervisor."""

    max_restarts: int = 1
    within: float = 5.0

    def __post_init__(self) -> None:
        if type(self.max_restarts) is not int or self.max_restarts < 0:
            raise SpecError("intensity.max_restarts", f"must be an integer of at least 0, not {self.max_restarts!r}")
        if type(self.within) not in (int, float) or not 0 < self.within < math.inf:
            raise SpecError("intensity.within", f"must be a finite number of seconds above 0, not {self.within!r}")


class Window:
    """The restarts of the last ``intensity.within`` seconds. Never holds more than ``max_restarts + 1`` times."""

    __slots__ = ("_intensity", "_times")

    def __init__(self, intensity: Intensity) -> None:
        self._intensity = intensity
        self._times: deque[float] = deque()

    def record(self, now: float) -> bool:
        """Record a restart at ``now``. Return False when it is one too many."""
        times = self._times
        times.append(now)
        self._trim(now)
        if len(times) <= self._intensity.max_restarts:
            return True
        while len(times) > self._intensity.max_restarts + 1:
            times.popleft()
        return False

    def change(self, intensity: Intensity) -> None:
        """Change to another intensity; recorded restarts still count."""
        self._intensity = intensity

    def count(self, now: float) -> int:
        """Return how many restarts are within the window at ``now``."""
        self._trim(now)
        return len(self._times)

    def _trim(self, now: float) -> None:
        oldest = now - self._intensity.within
        times = self._times
        while times and times[0] < oldest:
            times.popleft()
