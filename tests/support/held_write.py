"""A write that stops inside its transaction until the test releases it, and other writes that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar, final

import trio

from storage.database.connection import Connection
from storage.database.pool import Database
from tests.support.waiting import wait_until

T = TypeVar("T")


@final
class HeldWrite(Generic[T]):
    """Pass it to `Database.write`: it does its work, sets ``entered``, and returns after `release`."""

    def __init__(self, work: Callable[..., Awaitable[T]], *args: Any) -> None:
        self.entered = trio.Event()
        self._work = work
        self._args = args
        self._trio = trio.lowlevel.current_trio_token()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._released = asyncio.Event()

    async def __call__(self, connection: Connection) -> T:
        result = await self._work(connection, *self._args)
        self._loop = asyncio.get_running_loop()
        self._trio.run_sync_soon(self.entered.set)
        await self._released.wait()
        return result

    def release(self) -> None:
        """Let the write return, and so commit."""
        assert self._loop is not None, "it has not entered yet"
        self._loop.call_soon_threadsafe(self._released.set)


async def waiting_for_a_lock(database: Database) -> None:
    """Return when one statement waits for a lock; TooSlowError as of `wait_until`."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    async def one_waits() -> bool:
        return bool(await database.fetchval(waiting) == 1)

    await wait_until(one_waits)
