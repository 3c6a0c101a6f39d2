"""Translates what asyncpg and the operating system raise into storage's own errors."""

from __future__ import annotations

import ssl

import asyncpg

from storage.errors import (
    IntegrityError,
    InvalidValue,
    QueryFailed,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
)

_BUSY = frozenset({"40001", "40P01", "55P03"})
"""Serialization failure, deadlock, lock not available."""

_REFUSED = frozenset({"3D000", "28000", "28P01", "42501", "42704", "22023", "08P01"})
"""No such database, login refused, wrong password, missing right, no such parameter, no such value, a parameter that
a pooler does not take (only while connecting)."""

_AWAY = frozenset({"57014", "25006", "25P03", "0A000", "26000"})
"""Statement time-out, read-only after a failover, idle in transaction, statement prepared before a change of the
schema or not at all."""

_OUTDATED_SESSION = frozenset({"25006", "57P01", "57P02", "57P03", "0A000", "26000"})
"""Read-only, shut down, crashed, starting up, statement prepared before a change of the schema or not at all: the
server has changed since the session began, and only a new session works again."""


def is_outdated(error: BaseException) -> bool:
    """Return whether this session would keep failing with this error where a new one may not."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _OUTDATED_SESSION


def translate(error: BaseException, *, connecting: bool, usable: bool, in_commit: bool = False) -> StorageError | None:
    """Return the storage error for ``error``, or None for a programming error, which the caller lets pass unchanged.

    ``connecting``: there was no connection yet; ``usable``: the connection still works; ``in_commit``: the error came
    at COMMIT.
    """
    if isinstance(error, asyncpg.PostgresError):
        return _from_server(error, connecting=connecting, in_commit=in_commit)
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        return StorageRefused(str(error))
    if connecting and isinstance(error, ssl.SSLError):
        return StorageRefused(f"TLS: {error.strerror or error}")
    if isinstance(error, asyncpg.DataError):
        return InvalidValue("22000", "a value does not fit its column's type")
    if isinstance(error, asyncpg.InterfaceError) and not connecting and usable:
        return None
    if isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError, EOFError)):
        return StorageUnavailable(_describe(error, connecting=connecting), in_doubt=in_commit)
    return None


def _from_server(error: asyncpg.PostgresError, *, connecting: bool, in_commit: bool) -> StorageError:
    state = error.sqlstate or "XX000"
    message = error.message or type(error).__name__
    if state in _BUSY:
        return StorageBusy(message)
    if state.startswith("53"):
        return StorageFull(message, on_disk=state == "53100")
    if connecting:
        # A server quotes names of roles, databases and parameters here, and a log leaves out quoted text as if it were
        # data.
        message = message.replace('"', "`")
        if state in _REFUSED:
            return StorageRefused(message)
    if state.startswith(("08", "57P", "58")) or state in _AWAY or connecting:
        return StorageUnavailable(message, in_doubt=in_commit)
    if state.startswith("22"):
        return InvalidValue(state, message)
    if state.startswith("23"):
        return IntegrityError(state, message)
    return QueryFailed(state, message)


def _describe(error: BaseException, *, connecting: bool) -> str:
    if isinstance(error, TimeoutError):
        return "no connection in time" if connecting else "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
