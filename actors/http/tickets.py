"""One-time tickets: how a browser, whose WebSocket cannot carry a header, shows whose it is.

A ticket is asked for with a key, stands for that key once, within its time, and is known only by its hash.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, final

import trio

from actors.http.problems import Problem

PREFIX: Final = "wasup_ticket_"


@dataclass(frozen=True, slots=True)
class _Issued:
    key_digest: bytes
    expires_at: float


@final
class Tickets:
    """The tickets that are out: at most ``limit``, each for ``ttl_s`` seconds."""

    def __init__(self, *, limit: int, ttl_s: float) -> None:
        self._limit = limit
        self.ttl_s = ttl_s
        self._out: OrderedDict[bytes, _Issued] = OrderedDict()
        """All live equally long, so the oldest is the first to expire."""

    def issue(self, key_digest: bytes) -> str:
        """A new ticket for the key with this SHA-256. Raises `too_many_tickets`."""
        now = trio.current_time()
        while self._out and next(iter(self._out.values())).expires_at <= now:
            self._out.popitem(last=False)
        if len(self._out) >= self._limit:
            raise Problem("too_many_tickets", retry_after_s=next(iter(self._out.values())).expires_at - now)
        ticket = PREFIX + secrets.token_urlsafe(32)
        self._out[_digest(ticket)] = _Issued(key_digest, now + self.ttl_s)
        return ticket

    def redeem(self, ticket: str) -> bytes | None:
        """The SHA-256 of the key that this ticket stands for; None when it is used, too old, or was never issued."""
        issued = self._out.pop(_digest(ticket), None)
        if issued is None or issued.expires_at <= trio.current_time():
            return None
        return issued.key_digest


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()
