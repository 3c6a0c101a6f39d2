"""Listens for PostgreSQL's notifications, on a connection of its own.

A pooler in transaction mode accepts LISTEN and passes nothing on, so a waiting caller must also look for itself now and
then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeAlias, final

import asyncpg

from storage.database.bridge import Bridge, BridgeClosed
from storage.database.sqlstates import translate
from storage.errors import StorageUnavailable

Connect: TypeAlias = Callable[[], Awaitable[asyncpg.Connection]]

CONNECT_S: Final = 10.0
PROVE_EVERY_S: Final = 60.0
"""A connection that was cut silently is detected by a statement, since nothing else is ever sent on it."""
PROVE_S: Final = 10.0


@final
class NotificationSocket:
    """The asyncio side: one connection that listens on one channel, opened when first needed and again when it is lost."""

    def __init__(self, connect: Connect, channel: str) -> None:
        self._connect = connect
        self._channel = channel
        self._connection: asyncpg.Connection | None = None
        self._is_lost = False
        self._news = asyncio.Event()

    async def wait(self) -> None:
        """Wait for a notification. Returns at once after connecting, since a notification may have been missed before."""
        if self._connection is None:
            await self._open()
            return
        while not self._news.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PROVE_EVERY_S):
                    await self._news.wait()
                    break
            await self._connection.execute("SELECT 1", timeout=PROVE_S)
        self._news.clear()
        if self._is_lost:
            raise ConnectionResetError("the connection that listens was lost")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _open(self) -> None:
        self.close()
        async with asyncio.timeout(CONNECT_S):
            connection = await self._connect()
        try:
            connection.add_termination_listener(self._lost)
            async with asyncio.timeout(CONNECT_S):
                await connection.add_listener(self._channel, self._note)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        self._is_lost = connection.is_closed()
        self._news.clear()

    def _note(self, *_: object) -> None:
        self._news.set()

    def _lost(self, lost: object) -> None:
        if lost is self._connection:
            self._is_lost = True
            self._news.set()


@final
class Listener:
    """The trio side. One task may wait at a time."""

    def __init__(self, bridge: Bridge, socket: NotificationSocket) -> None:
        self._bridge = bridge
        self._socket = socket

    async def wait(self) -> None:
        """Return when the channel was, or may have been, notified since the last call returned. Raises `StorageUnavailable`."""
        try:
            await self._bridge.call(self._wait)
        except BridgeClosed:
            raise StorageUnavailable("it was closed") from None

    async def _wait(self) -> None:
        try:
            await self._socket.wait()
        except Exception as error:
            self._socket.close()
            found = translate(error, connecting=True, usable=False)
            if found is None:
                raise
            raise found from error
