"""Authentication: from an API key, or a ticket that stands for one, to a `Principal`, with few trips to the database.

A key is looked up by its SHA-256 and never compared itself, so timing does not show how much of a guess was right. A verified key is
trusted for `FRESH_S`; while the database is away it is trusted for `STALE_S`, so that requests that do not need the database still work.
Every `REVOCATIONS_EVERY_S` the database is asked for revocations, by this daemon or others: a revoked key is forgotten and what it holds
open is closed. Wrong keys are counted by address; above the limit they get 429 instead of 401. A right key is never refused because of
others' wrong keys, which may share its address behind a proxy. Guesses fail because of a key's 256 random bits, and they stay cheap
because all keys tried in the meantime are looked up in one statement (key_lookups.py).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol, final

import structlog
import trio

from actors.daemon.metrics import Metrics
from actors.http.access.audit import AuditTrail
from actors.http.access.key_lookups import KeyLookups
from actors.http.access.principal import Principal as Principal
from actors.http.access.tickets import Tickets
from actors.http.model.problems import Problem
from actors.http.transport.client_address import read_address
from config.sections import HttpSettings
from storage.errors import StorageUnavailable

FRESH_S: Final = 3.0
"""How long a verified key is trusted."""
REVOCATIONS_EVERY_S: Final = 1.0
"""A revoked key is refused, and what it opened is closed, about this long after the revocation."""
REVOKED_WITHIN_S: Final = 60.0
"""How far each query for revocations goes back beyond the previous one, so that it covers keys that were being verified meanwhile."""
STALE_S: Final = 900.0
LOOKUP_S: Final = 1.0
"""How long a lookup may take when the result of an earlier one is still known."""
MAX_KNOWN: Final = 10_000
FAILURES_WITHIN_S: Final = 60.0

_KEY: Final = re.compile(r"[\x21-\x7e]{16,256}", re.ASCII)
_UNAUTHORIZED: Final = {"WWW-Authenticate": 'Bearer realm="wasup"'}


class KeyStore(Protocol):
    """Stores API keys."""

    async def find_all(self, digests: Collection[bytes]) -> Mapping[bytes, Principal]:
        """Return the holders of the keys with these SHA-256, without unknown and revoked keys. Raises StorageUnavailable."""
        ...

    async def revoked(self, within_s: float) -> frozenset[str]:
        """Return the ids of the keys that were revoked, or lost a company, in the last ``within_s`` seconds. Raises StorageUnavailable."""
        ...


@dataclass(slots=True)
class _Known:
    principal: Principal
    verified_at: float
    ask_again_at: float


@final
class FailureLimit:
    """Counts wrong keys by address: at most ``failures`` within `FAILURES_WITHIN_S`."""

    def __init__(self, failures: int, addresses: int) -> None:
        self._allowed = failures
        self._addresses = addresses
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str, now: float) -> float:
        """Return the seconds until this address may try again; 0: now."""
        times = self._failures.get(address)
        if times is None:
            return 0.0
        while times and times[0] <= now - FAILURES_WITHIN_S:
            times.popleft()
        return times[0] + FAILURES_WITHIN_S - now if len(times) >= self._allowed else 0.0

    def count(self, address: str, now: float) -> None:
        """Count a wrong key from this address. When there are too many addresses, the one that was quiet longest is forgotten."""
        times = self._failures.setdefault(address, deque(maxlen=self._allowed))
        times.append(now)
        self._failures.move_to_end(address)
        if len(self._failures) > self._addresses:
            self._failures.popitem(last=False)


@final
class Authenticator:
    """Turns the headers of a request into a principal."""

    def __init__(self, keys: KeyStore, metrics: Metrics, settings: HttpSettings, audit: AuditTrail) -> None:
        self._keys = keys
        self._lookups = KeyLookups(keys.find_all)
        self._metrics = metrics
        self._audit = audit
        self.tickets = Tickets(limit=settings.max_tickets, ttl_s=settings.ticket_ttl_s)
        self._watchers: dict[str, set[Callable[[], None]]] = {}
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._limit = FailureLimit(settings.auth_failures_per_minute, settings.auth_addresses)
        self._log = structlog.get_logger("wasup.http.auth")

    async def authenticate(self, headers: Iterable[tuple[bytes, bytes]], client: tuple[str, int] | None) -> Principal:
        """Return the holder of the key in ``headers``. Raises `unauthorized`, `too_many_failures` or `storage_unavailable`."""
        key = key_in(headers)
        if key is None:
            self._metrics.auth_failed("missing")
            raise Problem("unauthorized", headers=_UNAUTHORIZED)
        return await self._admit(hashlib.sha256(key).digest(), client, is_key=_is_key(key))

    async def redeem(self, ticket: str, client: tuple[str, int] | None) -> Principal:
        """Return the holder of ``ticket``, which is used up. Raises like `authenticate`."""
        return await self._admit(self.tickets.redeem(ticket), client)

    def issue_ticket(self, headers: Iterable[tuple[bytes, bytes]], principal: Principal) -> tuple[str, float]:
        """Return a ticket for the key of a request of ``principal``, and its lifetime in seconds. Raises `too_many_tickets`."""
        key = key_in(headers)
        assert key is not None, "the request was authenticated"
        return self.tickets.issue(principal, hashlib.sha256(key).digest()), self.tickets.ttl_s

    def forget(self) -> None:
        """Forget all verified keys: each must be confirmed by the database again."""
        self._known.clear()

    @contextmanager
    def watching(self, principal: Principal, on_revoked: Callable[[], None]) -> Generator[None]:
        """Within this block call ``on_revoked`` when the holder's key is revoked, by this daemon or another."""
        watchers = self._watchers.setdefault(principal.key_id, set())
        watchers.add(on_revoked)
        try:
            yield
        finally:
            watchers.discard(on_revoked)
            if not watchers and self._watchers.get(principal.key_id) is watchers:
                del self._watchers[principal.key_id]

    async def follow_revocations(self) -> NoReturn:
        """Look for revoked keys again and again."""
        looked_at = trio.current_time()
        while True:
            await trio.sleep(REVOCATIONS_EVERY_S)
            now = trio.current_time()
            try:
                with trio.fail_after(LOOKUP_S):
                    revoked = await self._keys.revoked(now - looked_at + REVOKED_WITHIN_S)
            except (StorageUnavailable, trio.TooSlowError):
                continue
            looked_at = now
            self._forget(revoked)

    def _forget(self, revoked: frozenset[str]) -> None:
        for digest in [digest for digest, known in self._known.items() if known.principal.key_id in revoked]:
            del self._known[digest]
        for key_id in revoked & self._watchers.keys():
            self._log.info("revoked_key_closed", key_id=key_id, connected=len(self._watchers[key_id]))
            for on_revoked in tuple(self._watchers[key_id]):
                on_revoked()

    async def _admit(self, digest: bytes | None, client: tuple[str, int] | None, *, is_key: bool = True) -> Principal:
        known = None if digest is None else self._known.get(digest)
        now = trio.current_time()
        if known is not None and now < known.ask_again_at:
            return known.principal
        principal = await self._verify(digest, known) if digest is not None and is_key else None
        if principal is None:
            self._refuse(_network_of(client))
        return principal

    async def _verify(self, digest: bytes, known: _Known | None) -> Principal | None:
        try:
            principal = await self._look_up(digest, known)
        except (StorageUnavailable, trio.TooSlowError) as error:
            return self._believe(known, error)
        if principal is None:
            self._known.pop(digest, None)
        else:
            self._remember(digest, principal)
        return principal

    async def _look_up(self, digest: bytes, known: _Known | None) -> Principal | None:
        if known is None:
            return await self._lookups.find(digest)
        with trio.fail_after(LOOKUP_S):
            return await self._lookups.find(digest)

    def _believe(self, known: _Known | None, error: Exception) -> Principal:
        """Return the result of an earlier verification while the database cannot be asked."""
        now = trio.current_time()
        if known is None or now - known.verified_at > STALE_S:
            raise Problem("storage_unavailable") from error
        known.ask_again_at = now + FRESH_S
        return known.principal

    def _remember(self, digest: bytes, principal: Principal) -> None:
        now = trio.current_time()
        self._known[digest] = _Known(principal, verified_at=now, ask_again_at=now + FRESH_S)
        self._known.move_to_end(digest)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def _refuse(self, address: str) -> NoReturn:
        now = trio.current_time()
        if (wait_s := self._limit.wait_s(address, now)) > 0:
            self._metrics.auth_failed("limited")
            self._audit.count(key_id="unknown", action="auth_limited", target="api", address=address)
            raise Problem("too_many_failures", retry_after_s=wait_s)
        self._limit.count(address, now)
        self._metrics.auth_failed("wrong")
        self._audit.count(key_id="unknown", action="auth_failed", target="api", address=address)
        self._log.warning("wrong_key", address=address)
        raise Problem("unauthorized", headers=_UNAUTHORIZED)


def key_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the key as sent: from `Authorization: Bearer …`, else from `X-Api-Key`, else None."""
    from_own_header: bytes | None = None
    for name, value in headers:
        if name.lower() == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() == b"bearer" and key.strip():
                return key.strip()
        elif name.lower() == b"x-api-key" and value.strip():
            from_own_header = value.strip()
    return from_own_header


def _is_key(text: bytes) -> bool:
    return _KEY.fullmatch(text.decode("latin-1")) is not None


def _network_of(client: tuple[str, int] | None) -> str:
    """Return what failures are counted by: an IPv4 address, or the /64 that one IPv6 host can fill by itself."""
    if client is None:
        return "unknown"
    address = read_address(client[0])
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return "unknown" if address is None else str(address)
