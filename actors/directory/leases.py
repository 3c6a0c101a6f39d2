"""Until when this daemon may hold each company, by its own monotonic clock: pure."""

from __future__ import annotations

from typing import final


@final
class LeaseBook:
    """Counts a lease from the moment its renewal was *asked for*, so that it ends here before it can end in Postgres."""

    def __init__(self, ttl_s: float, margin_s: float) -> None:
        self._ttl_s = ttl_s
        self._margin_s = margin_s
        self._until: dict[str, float] = {}

    @property
    def companies(self) -> frozenset[str]:
        """Those that are held."""
        return frozenset(self._until)

    def least_left_s(self, now: float) -> float | None:
        """Seconds until the first lease must be dropped here unless it is renewed; None when none is held."""
        return min(self._until.values()) - now if self._until else None

    def taken(self, company_id: str, now: float) -> None:
        """A company reports that it holds its lease."""
        self._until.setdefault(company_id, now + self._ttl_s - self._margin_s)

    def dropped(self, company_id: str) -> None:
        """A company gave its lease back."""
        self._until.pop(company_id, None)

    def renewed(self, asked: frozenset[str], owned: frozenset[str], asked_at: float) -> frozenset[str]:
        """Renewals ``asked`` for at ``asked_at`` were answered with ``owned``; returns those that are lost."""
        lost = frozenset(company_id for company_id in asked - owned if company_id in self._until)
        for company_id in owned & self.companies:
            self._until[company_id] = asked_at + self._ttl_s - self._margin_s
        for company_id in lost:
            del self._until[company_id]
        return lost

    def expired(self, now: float) -> frozenset[str]:
        """Those whose time is over; they are forgotten."""
        gone = frozenset(company_id for company_id, until in self._until.items() if until <= now)
        for company_id in gone:
            del self._until[company_id]
        return gone
