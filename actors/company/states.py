"""The states of a company, which may follow which, and how long each may last."""

from __future__ import annotations

from actors.messages import CompanyState

S = CompanyState

OFFER_EXPIRED = "the code was not used in time"
"""The reason of a company that is `unlinked` because no phone used its code."""
PASSKEY_EXPIRED = "the passkey was not given in time"

LINKING = frozenset({S.PAIRING, S.PASSKEY})
"""The states in which a phone is to accept the device."""

_LOSSES = frozenset({S.RECONNECTING, S.SUSPENDED, S.CONFLICT, S.LOGGED_OUT, S.BANNED, S.OUTDATED})
_RESTS = frozenset({S.STOPPED, S.CONFLICT, S.ELSEWHERE, S.FAILED})

SUCCESSORS: dict[CompanyState, frozenset[CompanyState]] = {
    S.STOPPED: frozenset({S.CONNECTING, S.UNLINKED, S.FAILED}),
    S.UNLINKED: frozenset({S.PAIRING, S.CONNECTING, S.RECONNECTING, S.LOGGED_OUT}) | _RESTS,
    S.PAIRING: frozenset({S.UNLINKED, S.PASSKEY, S.CONNECTING, S.CONNECTED}) | _LOSSES | _RESTS,
    S.PASSKEY: frozenset({S.UNLINKED, S.CONNECTING}) | _LOSSES | _RESTS,
    S.CONNECTING: frozenset({S.UNLINKED, S.PAIRING, S.CONNECTED}) | _LOSSES | _RESTS,
    S.CONNECTED: frozenset({S.CONNECTING}) | _LOSSES | _RESTS,
    S.RECONNECTING: frozenset({S.CONNECTING, S.CONNECTED, S.UNLINKED}) | _LOSSES | _RESTS,
    S.SUSPENDED: frozenset({S.CONNECTING}) | _LOSSES | _RESTS,
    S.CONFLICT: frozenset({S.CONNECTING}) | _LOSSES | _RESTS,
    S.ELSEWHERE: frozenset({S.CONNECTING, S.UNLINKED}) | _RESTS,
    S.LOGGED_OUT: frozenset({S.PAIRING, S.CONNECTING, S.UNLINKED}) | _RESTS,
    S.BANNED: frozenset({S.CONNECTING, S.LOGGED_OUT}) | _RESTS,
    S.OUTDATED: frozenset({S.CONNECTING}) | _RESTS,
    S.FAILED: frozenset({S.CONNECTING, S.STOPPED}),
}


class ImpossibleTransition(Exception):
    """A bug: the company actor tried to go where the table does not allow."""

    def __init__(self, before: CompanyState, after: CompanyState) -> None:
        super().__init__(f"a company cannot go from {before.value} to {after.value}")


def check_transition(before: CompanyState, after: CompanyState) -> None:
    """Raise ImpossibleTransition unless ``after`` may follow ``before`` (staying is always allowed: the reason may change)."""
    if after is not before and after not in SUCCESSORS[before]:
        raise ImpossibleTransition(before, after)
