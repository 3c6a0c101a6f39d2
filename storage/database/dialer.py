"""Begins sessions with PostgreSQL, directly or through a pooler in transaction mode, and finds out which of the two it is.

Through such a pooler (PgBouncer, Supavisor and others) each transaction may run in another session of the server. State
of a session is then missing in the next transaction, or worse, visible to another client. So no transaction leaves any:
prepared statements have no names, and the settings that a direct session gets at its start are set in each writing
transaction, until its end.
"""

from __future__ import annotations

from asyncio import Transport
from collections.abc import Mapping
from typing import Any, Final, cast, final

import asyncpg

from config.postgres_url import PostgresUrl
from config.sections import PoolerMode
from storage.database.dialing import arguments, keep_alive, startup_settings

LISTENER_NAME: Final = "wasup (listens)"
_SERVER_PID: Final = "SELECT pg_backend_pid()"
_UNSUPPORTED: Final = (asyncpg.ProtocolViolationError, asyncpg.FeatureNotSupportedError)
"""What poolers answer to unknown settings in the start-up message."""


@final
class Session(asyncpg.Connection):
    """A connection, with what its pool must know of it."""

    generation: int
    """The pool's generation when this session was begun."""
    is_pooled: bool
    """Whether it only lasts for a transaction."""

    def __init__(self, protocol: Any, transport: Any, *more: Any) -> None:
        super().__init__(protocol, transport, *more)
        self.transport: Transport = transport
        # To look up a type asyncpg would set `jit` for the session, which another client may get next; that is disabled
        # here.
        able: Any = self._server_caps  # type: ignore[has-type]  # pyright: ignore[reportUnknownMemberType]
        self._server_caps = able._replace(jit=False)

    def get_reset_query(self) -> str:
        """Return nothing: this code changes a session's state only inside transactions, so releasing needs no round trip."""
        return ""


def session_of(held: asyncpg.pool.PoolConnectionProxy) -> Session:
    """Return the session behind a pool's connection."""
    return cast("Session", held)  # it passes on every attribute


@final
class Dialer:
    """Connects as a URL says. ``is_pooled`` is None until it is known; once a pooler was found, one is assumed."""

    def __init__(
        self, url: PostgresUrl, mode: PoolerMode, settings: Mapping[str, str], direct: PostgresUrl | None = None
    ) -> None:
        self.url = url
        self.direct = direct
        """The URL that goes past the pooler, for what needs a session of its own."""
        self.settings = settings
        """The settings of every direct session. Through a pooler they are set in each transaction instead."""
        self._is_sure = mode != "auto" or url.is_pooled is not None
        self.is_pooled: bool | None = mode == "transaction" if mode != "auto" else url.is_pooled

    async def dial(self, **of_pool: Any) -> Session:
        """Return a new session. Raises what asyncpg raises."""
        if self.is_pooled:
            return await self._connect(is_pooled=True, **of_pool)
        try:
            session = await self._connect(is_pooled=False, **of_pool)
        except _UNSUPPORTED:
            if self._is_sure:
                raise
            self.is_pooled = True
            return await self._connect(is_pooled=True, **of_pool)
        if self._is_sure or await _is_direct(session):
            self.is_pooled = False
            return session
        session.terminate()
        self.is_pooled = True
        return await self._connect(is_pooled=True, **of_pool)

    async def dial_to_listen(self) -> Session:
        """Return a session that lasts. Raises InterfaceError where there is only a pooler: LISTEN would stay in
        another client's session."""
        of_own: dict[str, Any] = {"connection_class": Session}
        if self.direct is not None:
            return await _connect(self.direct, {"application_name": LISTENER_NAME}, **of_own)
        if not self.is_pooled:
            session = await self._dial_to_listen(of_own)
            if session is not None:
                return session
        raise asyncpg.InterfaceError("a pooler in transaction mode passes on no notifications")

    async def _dial_to_listen(self, of_own: dict[str, Any]) -> Session | None:
        session = await self.dial(**of_own)
        if session.is_pooled:
            session.terminate()
            return None
        try:
            await session.execute(f"SET application_name = '{LISTENER_NAME}'")
        except BaseException:
            # A session left open keeps the loop from closing (tests/storage/database/test_listening.py).
            session.terminate()
            raise
        return session

    async def _connect(self, *, is_pooled: bool, **of_pool: Any) -> Session:
        if is_pooled:
            of_pool["statement_cache_size"] = 0
        session = await _connect(self.url, {} if is_pooled else self.settings, **of_pool)
        session.is_pooled = is_pooled
        return session


async def _connect(url: PostgresUrl, settings: Mapping[str, str], **more: Any) -> Session:
    asked: dict[str, Any] = {**more, **arguments(url), "server_settings": {**startup_settings(url), **settings}}
    session: Session = await cast("Any", asyncpg.connect)(**asked)
    keep_alive(url, session.transport)
    return session


async def _is_direct(session: Session) -> bool:
    """Return whether the answering process is the one that took the connection; a pooler gives numbers of its own.

    The query goes by COPY, which needs no prepared statement. A session that fails to answer is ended.
    """
    answer = bytearray()

    async def take(data: bytes) -> None:
        answer.extend(data)

    try:
        await session.copy_from_query(_SERVER_PID, output=take)
    except BaseException:
        session.terminate()
        raise
    return int(answer) == session.get_server_pid()
