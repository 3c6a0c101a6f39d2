"""Stores of the HTTP side in Postgres."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import final

import msgspec
import structlog

from actors.engine.protocol.contents import StoredFile
from actors.http.access.audit import AuditEntry
from actors.http.access.auth import Principal
from actors.http.actor import Stores
from actors.http.model.problems import Problem
from actors.http.services.idempotency import Remembered
from actors.http.services.transfers import KnownFile
from actors.http.services.webhook_store import DatabaseWebhooks
from config.json_text import read_json
from storage.database.pool import Database
from storage.errors import UnreadableState
from storage.tables import api_keys, audit, idempotency, media, removal


def database_stores(database: Database, *, idempotency_ttl_s: float, owner: str) -> Stores:
    """Return stores in ``database`` for the daemon ``owner`` (``<installation>/<boot>``)."""
    return Stores(
        keys=DatabaseKeys(database),
        idempotency=DatabaseIdempotency(database, idempotency_ttl_s, owner),
        audit=DatabaseAudit(database),
        server=DatabaseServer(database),
        media=DatabaseMedia(database),
        webhooks=DatabaseWebhooks(database),
        removals=DatabaseRemovals(database),
    )


@final
class DatabaseKeys:
    """Keys in ``api_keys``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_all(self, digests: Collection[bytes]) -> Mapping[bytes, Principal]:
        """Return the holders of the keys with these SHA-256, without unknown and revoked keys."""
        found = await api_keys.find_all(self._database, digests)
        return {digest: Principal(key.key_id, key.companies) for digest, key in found.items()}

    async def revoked(self, within_s: float) -> frozenset[str]:
        """Return the ids of keys that were revoked in the last ``within_s`` seconds."""
        return frozenset(await api_keys.revoked(self._database, within_s))


@final
class DatabaseIdempotency:
    """Requests in ``idempotency``."""

    def __init__(self, database: Database, ttl_s: float, owner: str) -> None:
        self._database = database
        self._ttl_s = ttl_s
        self._owner = owner

    async def find(self, company_id: str, key: str) -> Remembered | None:
        """Return what is stored under this key, unless it has expired."""
        kept = await idempotency.find(self._database, company_id, key)
        if kept is None:
            return None
        # An installation runs one daemon at a time: a request that an earlier daemon began is no longer under way.
        is_ours = _installation(kept.owner or self._owner) == _installation(self._owner)
        return Remembered(kept.request_digest, kept.response, kept.claim, is_ours, kept.age_s)

    async def claim(self, company_id: str, key: str, digest: bytes, *, claim: str, replaces: str | None) -> bool:
        """Claim the key before the request is carried out."""
        write = partial(idempotency.claim, claim=claim, owner=self._owner, replaces=replaces, keep_s=self._ttl_s)
        return await self._database.write(write, company_id, key, digest)

    async def settle(self, company_id: str, key: str, claim: str, response: bytes) -> None:
        """Store the response, unless one is stored already."""
        await self._database.write(idempotency.settle, company_id, key, claim, response)

    async def release(self, company_id: str, key: str, claim: str) -> None:
        """Release the key."""
        await self._database.write(idempotency.release, company_id, key, claim)


@final
class DatabaseAudit:
    """Entries in ``audit_log``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entry: AuditEntry) -> None:
        """Write one entry. After a commit in doubt it may be there twice, but it is never missing."""
        await self._database.write(
            audit.append, entry.at, entry.key_id, entry.action, entry.target, entry.address, entry.count
        )

    async def read(self, before: int | None, limit: int) -> list[audit.AuditRecord]:
        """Return entries, newest first."""
        return await audit.read(self._database, before=before, limit=limit)


@final
class DatabaseMedia:
    """Files in ``whatsapp_media``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, company_id: str, media_id: str) -> KnownFile | None:
        """Return the company's file with this id. Raises `media_unreadable`."""
        with _readable(company_id):
            kept = await media.find(self._database, company_id, media_id)
        if kept is None:
            return None
        return KnownFile(kept.media_id, read_json(kept.file, StoredFile), kept.expires_at)

    async def keep(self, company_id: str, media_id: str, file: StoredFile, keep_s: float) -> None:
        """Remember a file that an application uploaded. Raises `media_unreadable`."""
        new = media.NewMedia(company_id, media_id, None, msgspec.json.encode(file))
        with _readable(company_id):
            await self._database.write(media.keep, [new], keep_s)


@final
class DatabaseRemovals:
    """What is stored of removed companies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(self, company_id: str) -> None:
        """Erase all that is stored of the company."""
        await removal.erase(self._database, company_id)


@final
class DatabaseServer:
    """The server of ``database``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self) -> str:
        """Return Postgres' version, like `18.1`."""
        return str(await self._database.fetchval("SELECT split_part(current_setting('server_version'), ' ', 1)"))


@contextmanager
def _readable(company_id: str) -> Generator[None]:
    try:
        yield
    except UnreadableState as error:
        structlog.get_logger("wasup.http").error("media_unreadable", company_id=company_id, reason=str(error))
        raise Problem("media_unreadable", company_id=company_id) from error


def _installation(owner: str) -> str:
    return owner.partition("/")[0]
