"""One-time tickets: the credential of a browser, whose WebSocket cannot carry a header.

A ticket is issued for a key, stands for that key once and for a limited time, and is stored only as a hash.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, final

import trio

from actors.http.access.principal import Principal
from actors.http.access.shared_slots import take_slot
from actors.http.model.problems import Problem
from actors.sharing import SharedSlots

PREFIX: Final = "wasup_ticket_"


@dataclass(frozen=True, slots=True)
class _Issued:
    principal: Principal
    key_digest: bytes
    expires_at: float


@final
class Tickets:
    """Issued tickets: at most ``limit``, shared by all keys, each valid for ``ttl_s`` seconds."""

    def __init__(self, *, limit: int, ttl_s: float) -> None:
        self.slots = SharedSlots(limit)
        self.ttl_s = ttl_s
        self._out: OrderedDict[bytes, _Issued] = OrderedDict()
        """All are valid equally long, so the oldest is the first to expire."""

    def issue(self, principal: Principal, key_digest: bytes) -> str:
        """Return a new ticket for the key with this SHA-256, whose holder is ``principal``. Raises `too_many_tickets`."""
        now = trio.current_time()
        while self._out and next(iter(self._out.values())).expires_at <= now:
            self._give_back(self._out.popitem(last=False)[1])
        try:
            take_slot(principal, self.slots, "too_many_tickets", "tickets that are out")
        except Problem as problem:
            problem.retry_after_s = self._wait_s(principal, now)
            raise
        ticket = PREFIX + secrets.token_urlsafe(32)
        self._out[_digest(ticket)] = _Issued(principal, key_digest, now + self.ttl_s)
        return ticket

    def redeem(self, ticket: str) -> bytes | None:
        """Return the SHA-256 of the key that this ticket stands for; None when it was used, has expired, or was never issued."""
        issued = self._out.pop(_digest(ticket), None)
        if issued is not None:
            self._give_back(issued)
        if issued is None or issued.expires_at <= trio.current_time():
            return None
        return issued.key_digest

    def _give_back(self, issued: _Issued) -> None:
        self.slots.give_back(issued.principal.key_id, is_admin=issued.principal.is_admin)

    def _wait_s(self, principal: Principal, now: float) -> float:
        """Return the seconds until the first of this key's tickets expires, or the first of all when it has none."""
        ends = [issued.expires_at for issued in self._out.values() if issued.principal.key_id == principal.key_id]
        return min(ends or (issued.expires_at for issued in self._out.values())) - now


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
