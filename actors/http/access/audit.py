"""The audit trail: who did what and when, and who was refused. Each administrative action and each failed try goes to the log and to
Postgres.

An operator must be able to act while Postgres is away: entries then wait in memory, up to a bound.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol, final

import structlog
import trio

from actors.http.model.problems import Problem
from actors.sharing import evict_from_largest
from storage.errors import StorageError
from storage.tables.audit import AuditRecord

MAX_WAITING: Final = 1000
MAX_COUNTED: Final = 500
"""Different failures that are counted at the same time; further ones are counted together."""
COUNT_FOR_S: Final = 5.0
"""Equal failures within this time become one record."""
LAST_WORDS_S: Final = 1.0
RETRY_S: Final = 2.0
READS: Final = frozenset({"qr_read", "media_read"})
"""Actions of `AuditTrail.read`. A reader of a QR code can link a device, and a file is part of a person's message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One action."""

    at: float
    """Unix seconds."""
    key_id: str
    action: str
    target: str
    address: str
    count: int = 1


class AuditStore(Protocol):
    """Stores entries; the daemon never changes or removes one."""

    async def append(self, entry: AuditEntry) -> None:
        """Write one entry. Raises StorageError."""
        ...


class AuditLog(AuditStore, Protocol):
    """A store whose entries can be read."""

    async def read(self, before: int | None, limit: int) -> Sequence[AuditRecord]:
        """Return up to ``limit`` entries with an id below ``before`` (None: the newest), newest first. Raises StorageUnavailable."""
        ...


def note_problem(problem: Problem, scope: Mapping[str, Any], audit: AuditTrail) -> None:
    """Count the problems that belong in the audit log: a valid key used for a company that is not its own, or a stored file that was
    tampered with. ``scope`` is the request's.
    """
    if problem.kind.code in {"access_denied", "media_unreadable"}:
        client = scope["client"]
        audit.count(
            key_id=scope["auth"].key_id,
            action=problem.kind.code,
            target=problem.company_id or scope.get("path_template") or "events",
            address=client[0] if client else "unknown",
        )


@final
class AuditTrail:
    """Takes entries without waiting; `run` writes them."""

    def __init__(self, store: AuditStore) -> None:
        self._store = store
        self._waiting: OrderedDict[int, AuditEntry] = OrderedDict()
        self._numbers = itertools.count()
        self._counts: dict[tuple[str, str, str, str], int] = {}
        self._counted_until = math.inf
        self._news = trio.Event()
        self._log = structlog.get_logger("wasup.audit")

    def read(self, *, key_id: str, action: str, target: str, address: str) -> None:
        """Record that a secret was read. Equal reads within `COUNT_FOR_S` become one record, as with failures."""
        self.count(key_id=key_id, action=action, target=target, address=address)

    def record(self, *, key_id: str, action: str, target: str, address: str) -> None:
        """Record an action. When too many wait, the oldest of the key with the most waiting entries is dropped; it remains in the log."""
        entry = AuditEntry(at=time.time(), key_id=key_id, action=action, target=target, address=address)
        self._log.info("admin_action", key_id=key_id, action=action, target=target.partition(" ")[0], address=address)
        self._put(entry)

    def count(self, *, key_id: str, action: str, target: str, address: str) -> None:
        """Count a failure. Equal ones within `COUNT_FOR_S` become one record with their number, so that a client cannot flood the table."""
        what = (key_id, action, target, address)
        if what not in self._counts and len(self._counts) >= MAX_COUNTED:
            what = ("many", action, "many", "many")
        self._counts[what] = self._counts.get(what, 0) + 1
        if self._counted_until == math.inf:
            self._counted_until = trio.current_time() + COUNT_FOR_S
            self._news.set()

    async def run(self) -> NoReturn:
        """Write waiting entries in order, each until it is written."""
        while True:
            if trio.current_time() >= self._counted_until:
                self._collect()
            if self._waiting:
                await self._write_next()
            else:
                self._news = trio.Event()
                with trio.CancelScope(deadline=self._counted_until):
                    await self._news.wait()

    async def finish(self) -> None:
        """Write waiting entries for at most `LAST_WORDS_S`: the daemon or the HTTP actor is stopping."""
        self._collect()
        with trio.move_on_after(LAST_WORDS_S):
            while self._waiting:
                await self._write_next()

    def _collect(self) -> None:
        now = time.time()
        for (key_id, action, target, address), count in self._counts.items():
            self._tell(key_id=key_id, action=action, target=target, address=address, count=count)
            self._put(AuditEntry(at=now, key_id=key_id, action=action, target=target, address=address, count=count))
        self._counts.clear()
        self._counted_until = math.inf

    def _tell(self, **fields: str | int) -> None:
        if fields["action"] in READS:
            self._log.info("handed_out", **fields)
        else:
            self._log.warning("refused", **fields)

    def _put(self, entry: AuditEntry) -> None:
        if len(self._waiting) >= MAX_WAITING:
            evict_from_largest(self._waiting, lambda number: self._waiting[number].key_id)
        self._waiting[next(self._numbers)] = entry
        self._news.set()

    async def _write_next(self) -> None:
        number, entry = next(iter(self._waiting.items()))
        try:
            await self._store.append(entry)
        except StorageError as error:
            self._log.warning("audit_not_written", reason=type(error).__name__, waiting=len(self._waiting))
            await trio.sleep(RETRY_S)
        else:
            self._waiting.pop(number, None)  # it may have been dropped for newer ones meanwhile
