"""Until when this daemon may hold each company, by its own monotonic clock. Pure."""

from __future__ import annotations

from typing import final


@final
class LeaseBook:
    """Counts a lease from the moment its renewal was *asked for*, so that it ends here before it can end in Postgres."""

    def __init__(self, usable_s: float) -> None:
        self._usable_s = usable_s
        self._until: dict[str, float] = {}

    @property
    def companies(self) -> frozenset[str]:
        """The companies whose leases are held."""
        return frozenset(self._until)

    def holds(self, company_id: str) -> bool:
        """Whether this daemon holds the company's lease."""
        return company_id in self._until

    def least_left_s(self, now: float) -> float | None:
        """Return the seconds until the first lease must be dropped unless it is renewed; None when none is held."""
        return min(self._until.values()) - now if self._until else None

    def taken(self, company_id: str, asked_at: float) -> None:
        """A company reports that it holds its lease, for which it asked at ``asked_at``."""
        self._until[company_id] = max(asked_at + self._usable_s, self._until.get(company_id, 0.0))

    def dropped(self, company_id: str) -> None:
        """A company gave its lease back."""
        self._until.pop(company_id, None)

    def renewed(self, owned: frozenset[str], asked_at: float) -> dict[str, float]:
        """Extend these leases, asked for at ``asked_at``. Return the new end of each that is still held."""
        for company_id in owned & self.companies:
            self._until[company_id] = max(asked_at + self._usable_s, self._until[company_id])
        return {company_id: self._until[company_id] for company_id in owned & self.companies}

    def lost(self, company_ids: frozenset[str]) -> frozenset[str]:
        """Forget these leases, which another daemon has taken. Return those that were held."""
        gone = company_ids & self.companies
        for company_id in gone:
            del self._until[company_id]
        return gone

    def expired(self, now: float) -> frozenset[str]:
        """Forget the leases whose time is over, and return their companies."""
        gone = frozenset(company_id for company_id, until in self._until.items() if until <= now)
        for company_id in gone:
            del self._until[company_id]
        return gone
