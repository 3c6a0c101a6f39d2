"""What the HTTP side keeps, kept in Postgres."""

from __future__ import annotations

from typing import final

from actors.http.actor import Stores
from actors.http.audit import AuditEntry
from actors.http.auth import Principal
from actors.http.idempotency import Remembered
from storage import api_keys, audit, idempotency
from storage.pool import Database


def database_stores(database: Database, *, idempotency_ttl_s: float) -> Stores:
    """Keys, idempotent answers and the audit log in ``database``."""
    return Stores(
        keys=DatabaseKeys(database),
        idempotency=DatabaseIdempotency(database, idempotency_ttl_s),
        audit=DatabaseAudit(database),
    )


@final
class DatabaseKeys:
    """Keys in ``api_keys``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, digest: bytes) -> Principal | None:
        """Who holds the key with this SHA-256; None when nobody does or it was revoked."""
        key = await api_keys.find(self._database, digest)
        return None if key is None else Principal(key.key_id, key.companies)


@final
class DatabaseIdempotency:
    """Answers in ``idempotency``."""

    def __init__(self, database: Database, ttl_s: float) -> None:
        self._database = database
        self._ttl_s = ttl_s

    async def find(self, company_id: str, key: str) -> Remembered | None:
        """What is kept under this key and not too old."""
        kept = await idempotency.find(self._database, company_id, key)
        return None if kept is None else Remembered(kept.request_digest, kept.response)

    async def remember(self, company_id: str, key: str, kept: Remembered) -> None:
        """Keep this, unless something is kept already."""
        await self._database.write(idempotency.remember, company_id, key, kept.digest, kept.response, self._ttl_s)


@final
class DatabaseAudit:
    """Entries in ``audit_log``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entry: AuditEntry) -> None:
        """Write one entry; when a commit was in doubt it may be there twice, never not at all."""
        await self._database.write(audit.append, entry.at, entry.key_id, entry.action, entry.target, entry.address)
