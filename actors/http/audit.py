"""Who did what to the actor tree and when: each administrative action, in the log at once and in Postgres as soon as it can be.

An operator must be able to act while Postgres is away: entries then wait in memory, a bounded number of them.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol, final

import structlog
import trio

from storage.errors import StorageError

MAX_WAITING: Final = 1000
RETRY_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One action."""

    at: float
    """Unix seconds."""
    key_id: str
    action: str
    target: str
    address: str


class AuditStore(Protocol):
    """Where entries go; nothing there is ever changed or removed by the daemon."""

    async def append(self, entry: AuditEntry) -> None:
        """Write one entry. Raises StorageError."""
        ...


@final
class AuditTrail:
    """Takes entries without waiting; `run` writes them."""

    def __init__(self, store: AuditStore) -> None:
        self._store = store
        self._waiting: deque[AuditEntry] = deque()
        self._news = trio.Event()
        self._log = structlog.get_logger("wasup.audit")

    def record(self, *, key_id: str, action: str, target: str, address: str) -> None:
        """One more action; the oldest that still waits is dropped (and stays in the log) when too many do."""
        entry = AuditEntry(at=time.time(), key_id=key_id, action=action, target=target, address=address)
        self._log.warning("admin_action", key_id=key_id, action=action, target=target, address=address)
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
        self._waiting.append(entry)
        self._news.set()

    async def run(self) -> NoReturn:
        """Write what waits, in order, again and again until each is written."""
        while True:
            while not self._waiting:
                self._news = trio.Event()
                await self._news.wait()
            await self._write_next()

    async def _write_next(self) -> None:
        entry = self._waiting[0]
        try:
            await self._store.append(entry)
        except StorageError as error:
            self._log.warning("audit_not_written", reason=type(error).__name__, waiting=len(self._waiting))
            await trio.sleep(RETRY_S)
        else:
            # Unless it was dropped for newer ones meanwhile.
            if self._waiting and self._waiting[0] is entry:
                self._waiting.popleft()
