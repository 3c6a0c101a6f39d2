"""The state a company is in, and the evidence for it."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from actors.company.states import check_transition
from actors.messages import CompanyState, Evidence


@dataclass(frozen=True, slots=True)
class StateRecord:
    """A state with its reason; ``serial`` grows with each record, so that a timer can tell whether its record is still the present one."""

    state: CompanyState
    reason: str
    since: float
    """Unix seconds."""
    serial: int
    code: str | None = None
    """As `CompanyStatus.reason_code`."""

    def followed_by(self, state: CompanyState, reason: str, now: float, code: str | None = None) -> StateRecord:
        """Return the next record. Raise ImpossibleTransition when the table forbids the transition."""
        check_transition(self.state, state)
        since = self.since if state is self.state else now
        return StateRecord(state, reason, since, self.serial + 1, code)


class EvidenceLog:
    """When (trio time) each part was last seen to work."""

    def __init__(self) -> None:
        self._connected: float | None = None
        self._round_trip: float | None = None
        self._round_trip_s: float | None = None
        self._message: float | None = None
        self._commit: float | None = None

    def connected(self) -> None:
        self._connected = trio.current_time()

    def round_trip(self, seconds: float) -> None:
        self._round_trip = trio.current_time()
        self._round_trip_s = seconds

    def message(self) -> None:
        self._message = trio.current_time()

    def commit(self) -> None:
        self._commit = trio.current_time()

    def ages(self) -> Evidence:
        """Return the present ages."""
        return Evidence(
            connected_age_s=_age(self._connected),
            round_trip_age_s=_age(self._round_trip),
            round_trip_s=self._round_trip_s,
            message_age_s=_age(self._message),
            commit_age_s=_age(self._commit),
        )


def _age(then: float | None) -> float | None:
    return None if then is None else round(trio.current_time() - then, 3)
