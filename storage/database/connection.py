"""What storage's queries require of a connection, without a dependency on asyncpg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString, Protocol

from storage.crypto.sealing import Vault


def milliseconds(seconds: float) -> int:
    """Return a time-out as PostgreSQL takes it; at least 1, since 0 would mean none."""
    return max(1, int(seconds * 1000))


class Row(Protocol):
    """One row, read by column name. JSON and JSONB columns are ``bytes`` (UTF-8), timestamps are aware datetimes."""

    def __getitem__(self, key: str, /) -> Any: ...
    def __len__(self) -> int: ...


class Reader(Protocol):
    """Anything that runs queries: a `Database` or the `Connection` of a running transaction."""

    @property
    def vault(self) -> Vault:
        """Seals and opens the values of auth state in this database."""
        ...

    async def fetch(self, sql: LiteralString, /, *args: object) -> Sequence[Row]: ...
    async def fetchrow(self, sql: LiteralString, /, *args: object) -> Row | None: ...
    async def fetchval(self, sql: LiteralString, /, *args: object) -> Any: ...


class Connection(Reader, Protocol):
    """A connection inside a transaction that its provider commits."""

    async def execute(self, sql: LiteralString, /, *args: object) -> str: ...
