"""Journal deltas on their way from the engine to Postgres, in order, and the tasks that wait for them to be committed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import final

import trio

from actors.engine.protocol.messages import JournalDelta, KeyRow

MAX_WAITING_KEYS = 5_000
"""Distinct keys held while Postgres is away; a freshly paired device has about 820. Above this the engine is not read any more and
keeps the rest in its journal."""

Commit = Callable[[JournalDelta], Awaitable[None]]


class ShippingStopped(Exception):
    """The shipment was given up (the engine connection ended or the lease was lost) before the position was committed."""


@final
class Shipment:
    """Merges waiting deltas into one (the last value of a key wins) and commits the merged deltas one after another.

    ``commit`` gets each merged delta and returns once it is durable; an exception from it ends `run`.
    """

    def __init__(self, commit: Commit, committed: int) -> None:
        self._commit = commit
        self._committed = committed
        self._keys: dict[tuple[str, str], KeyRow] = {}
        self._creds: bytes | None = None
        self._position = self._from = committed
        self._base = False
        self._stopped: str | None = None
        self._changed = trio.Condition()

    @property
    def has_taken(self) -> bool:
        """Whether it was ever given anything to commit."""
        return self._position > self._from

    @property
    def committed(self) -> int:
        """The journal position that is in Postgres."""
        return self._committed

    async def put(self, delta: JournalDelta) -> None:
        """Take a delta; wait while `MAX_WAITING_KEYS` keys are held already."""
        async with self._changed:
            while len(self._keys) >= MAX_WAITING_KEYS and self._stopped is None:
                await self._changed.wait()
            for row in delta.keys:
                self._keys[row.key_type, row.key_id] = row
            self._creds = delta.creds if delta.creds is not None else self._creds
            self._position = max(self._position, delta.position)
            self._base = self._base or delta.base
            self._changed.notify_all()

    async def wait_committed(self, position: int) -> None:
        """Return once ``position`` is in Postgres. Raise ShippingStopped when it cannot get there any more."""
        async with self._changed:
            while self._committed < position:
                if self._stopped is not None:
                    raise ShippingStopped(self._stopped)
                await self._changed.wait()

    async def wait_all_committed(self) -> None:
        """Return once everything taken so far is in Postgres. Raise ShippingStopped as `wait_committed` does."""
        await self.wait_committed(self._position)

    async def run(self) -> None:
        """Commit deltas for ever; when this ends, every waiting task gets ShippingStopped."""
        try:
            while True:
                # Not held in a variable: all keys of a fresh device would stay in memory until the next delta.
                await self._commit_one(await self._next())
        finally:
            with trio.CancelScope(shield=True):
                await self.stop("the auth state is not being shipped any more")

    async def stop(self, why: str) -> None:
        """Raise ShippingStopped in every task that waits, now or later."""
        async with self._changed:
            self._stopped = self._stopped or why
            self._changed.notify_all()

    async def _commit_one(self, delta: JournalDelta) -> None:
        await self._commit(delta)
        async with self._changed:
            self._committed = max(self._committed, delta.position)
            self._changed.notify_all()

    async def _next(self) -> JournalDelta:
        async with self._changed:
            while self._position <= self._committed and not self._base:
                await self._changed.wait()
            delta = JournalDelta(
                position=self._position, creds=self._creds, keys=tuple(self._keys.values()), base=self._base
            )
            self._keys, self._creds, self._base = {}, None, False
            self._changed.notify_all()
            return delta
