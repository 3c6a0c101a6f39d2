"""When to try again: the pauses between attempts, and the circuit breaker for an endpoint that fails all the time. Pure, seeded."""

from __future__ import annotations

from random import Random
from typing import final

from config.doubling import doubled
from config.sections import WebhookSettings


def pause_s(settings: WebhookSettings, attempts: int, random: Random) -> float:
    """Return the seconds until an event is tried again after ``attempts`` attempts: a doubling bound, times a random 0.5 to 1.

    At least half, so that the receiver gets its time; random, so that endpoints that failed together are not tried again together.
    """
    bound = doubled(settings.retry_min_s, settings.retry_max_s, attempts - 1)
    return bound * random.uniform(0.5, 1.0)


@final
class Circuit:
    """Opens after ``circuit_failures`` failures in a row. Then one attempt at a time is made, after doubling pauses, until one succeeds."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._openings = 0
        self._until = 0.0
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open."""
        return self._openings > 0

    def left_s(self, now: float) -> float | None:
        """Return the seconds until the next attempt may be made; None while the circuit is closed."""
        return max(0.0, self._until - now) if self.is_open else None

    def may_try(self, now: float) -> bool:
        """Return whether an attempt may begin now."""
        return not self.is_open or (now >= self._until and not self._is_probing)

    def tried(self) -> bool:
        """Note the start of an attempt. Return whether it is the probe of an open circuit, to be passed to `failed` or `abandoned`."""
        is_probe = self.is_open
        self._is_probing = self._is_probing or is_probe
        return is_probe

    def succeeded(self) -> None:
        """Note a success: close the circuit and reset the counts."""
        self._failures = self._openings = 0
        self._is_probing = False

    def failed(self, now: float, *, was_probe: bool) -> bool:
        """Note a failure. Return True when it opens the circuit."""
        was_open = self.is_open
        self._failures += 1
        if was_probe:
            self._is_probing = False
        elif was_open or self._failures < self._settings.circuit_failures:
            return False  # an attempt that was under way when it opened tells nothing new
        pause = doubled(self._settings.circuit_min_s, self._settings.circuit_max_s, self._openings)
        self._openings += 1
        self._until = now + pause
        return not was_open

    def abandoned(self, *, was_probe: bool) -> None:
        """Note that an attempt ended without a result."""
        if was_probe:
            self._is_probing = False
