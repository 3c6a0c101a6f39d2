"""When to try again: pure, seeded. Full jitter (a random part of the bound) spreads companies that lost WhatsApp at once."""

from __future__ import annotations

from random import Random
from typing import Final

from actors.messages import CompanyState
from config.doubling import doubled
from config.sections import CompanySettings

DISK_FIRST_S: Final = 4.0
"""Short enough for a company to be back within 15 s after the disk has room again."""
DISK_MOST_S: Final = 300.0


class Retry:
    """Counts a company's consecutive failures and says which state they lead to and how long to wait there."""

    def __init__(self, settings: CompanySettings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self.failures = 0
        self._suspensions = 0
        self._conflicts = 0
        self._full_disks = 0
        self._outdated = 0

    def succeeded(self) -> None:
        """Reset every count: the company is connected."""
        self.failures = self._suspensions = self._conflicts = self._full_disks = self._outdated = 0

    def after_failure(self) -> tuple[CompanyState, float]:
        """Count a failed attempt or lost connection; return the state to wait in and the seconds to wait."""
        self.failures += 1
        settings = self._settings
        if self.failures < settings.circuit_failures:
            bound = doubled(settings.reconnect_min_s, settings.reconnect_max_s, self.failures - 1)
            return CompanyState.RECONNECTING, self._random.uniform(0.0, bound)
        wait = doubled(settings.circuit_min_s, settings.circuit_max_s, self._suspensions)
        self._suspensions += 1
        return CompanyState.SUSPENDED, wait

    def after_full_disk(self) -> float:
        """Return the seconds until the disk is checked again after a failed write. They double each time in a row that the company was
        connected in between, as when the disk takes the probe's writes but not this company's."""
        wait = doubled(DISK_FIRST_S, DISK_MOST_S, self._full_disks)
        self._full_disks += 1
        return wait

    def after_outdated(self) -> float:
        """Return the seconds until the next attempt when WhatsApp refuses the announced version and there is no other."""
        wait = doubled(self._settings.outdated_min_s, self._settings.outdated_max_s, self._outdated)
        self._outdated += 1
        return wait

    def after_conflict(self) -> float:
        """Return the seconds until the next attempt after another client took the session.

        No jitter below the bound: taking the session back at once would make the clients replace each other in turn.
        """
        wait = doubled(self._settings.conflict_min_s, self._settings.conflict_max_s, self._conflicts)
        self._conflicts += 1
        return wait
