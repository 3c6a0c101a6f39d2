"""When to try again: the pauses between attempts, and the circuit that spares an endpoint which fails all the time. Pure, seeded."""

from __future__ import annotations

from random import Random
from typing import final

from config.doubling import doubled
from config.sections import WebhookSettings


def pause_s(settings: WebhookSettings, attempts: int, random: Random) -> float:
    """Seconds until an event is tried again after so many attempts: doubling, the upper half of it left to chance.

    Not all of it: the receiver gets its time, and endpoints that failed together do not come back together.
    """
    bound = doubled(settings.retry_min_s, settings.retry_max_s, attempts - 1)
    return bound * random.uniform(0.5, 1.0)


@final
class Circuit:
    """Opens after ``circuit_failures`` failures in a row: then one attempt at a time, after pauses that double, until one succeeds."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._openings = 0
        self._until = 0.0
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether it is open."""
        return self._openings > 0

    def left_s(self, now: float) -> float | None:
        """Seconds until the next attempt may be made, None while it is closed."""
        return max(0.0, self._until - now) if self.is_open else None

    def may_try(self, now: float) -> bool:
        """Whether an attempt may begin now."""
        return not self.is_open or (now >= self._until and not self._is_probing)

    def tried(self) -> bool:
        """An attempt begins; True when all depends on it, for `failed` or `abandoned`."""
        is_probe = self.is_open
        self._is_probing = self._is_probing or is_probe
        return is_probe

    def succeeded(self) -> None:
        """One was delivered: everything starts anew."""
        self._failures = self._openings = 0
        self._is_probing = False

    def failed(self, now: float, *, was_probe: bool) -> bool:
        """One was not delivered; True when that opens the circuit."""
        was_open = self.is_open
        self._failures += 1
        if was_probe:
            self._is_probing = False
        elif was_open or self._failures < self._settings.circuit_failures:
            return False  # what was under way when it opened says nothing new
        pause = doubled(self._settings.circuit_min_s, self._settings.circuit_max_s, self._openings)
        self._openings += 1
        self._until = now + pause
        return not was_open

    def abandoned(self, *, was_probe: bool) -> None:
        """An attempt ended without a result."""
        if was_probe:
            self._is_probing = False
