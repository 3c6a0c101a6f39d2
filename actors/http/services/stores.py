"""What the HTTP side keeps, kept in Postgres."""

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
    """Keys, idempotent requests and the audit log in ``database``, for the daemon ``owner`` (``<installation>/<boot>``)."""
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
        """Who holds the keys with these SHA-256; those of no key, or of one that was revoked, are left out."""
        found = await api_keys.find_all(self._database, digests)
        return {digest: Principal(key.key_id, key.companies) for digest, key in found.items()}

    async def revoked(self, within_s: float) -> frozenset[str]:
        """Ids of the keys that were revoked lately."""
        return frozenset(await api_keys.revoked(self._database, within_s))


@final
class DatabaseIdempotency:
    """Requests in ``idempotency``."""

    def __init__(self, database: Database, ttl_s: float, owner: str) -> None:
        self._database = database
        self._ttl_s = ttl_s
        self._owner = owner

    async def find(self, company_id: str, key: str) -> Remembered | None:
        """What is kept under this key and not too old."""
        kept = await idempotency.find(self._database, company_id, key)
        if kept is None:
            return None
        # Of an installation's daemons one runs at a time: what an earlier one began is not under way any more.
        is_ours = _installation(kept.owner or self._owner) == _installation(self._owner)
        return Remembered(kept.request_digest, kept.response, kept.claim, is_ours, kept.age_s)

    async def claim(self, company_id: str, key: str, digest: bytes, *, claim: str, replaces: str | None) -> bool:
        """Claim the key before the request is carried out."""
        write = partial(idempotency.claim, claim=claim, owner=self._owner, replaces=replaces, keep_s=self._ttl_s)
        return await self._database.write(write, company_id, key, digest)

    async def settle(self, company_id: str, key: str, claim: str, response: bytes) -> None:
        """Keep the answer; one that is kept already stays."""
        await self._database.write(idempotency.settle, company_id, key, claim, response)

    async def release(self, company_id: str, key: str, claim: str) -> None:
        """Give the key free."""
        await self._database.write(idempotency.release, company_id, key, claim)


@final
class DatabaseAudit:
    """Entries in ``audit_log``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entry: AuditEntry) -> None:
        """Write one entry; when a commit was in doubt it may be there twice, never not at all."""
        await self._database.write(
            audit.append, entry.at, entry.key_id, entry.action, entry.target, entry.address, entry.count
        )

    async def read(self, before: int | None, limit: int) -> list[audit.AuditRecord]:
        """Entries, newest first."""
        return await audit.read(self._database, before=before, limit=limit)


@final
class DatabaseMedia:
    """Files in ``whatsapp_media``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, company_id: str, media_id: str) -> KnownFile | None:
        """The company's file of this id. Raises `media_unreadable`."""
        with _readable(company_id):
            kept = await media.find(self._database, company_id, media_id)
        if kept is None:
            return None
        return KnownFile(kept.media_id, read_json(kept.file, StoredFile), kept.expires_at)

    async def keep(self, company_id: str, media_id: str, file: StoredFile, keep_s: float) -> None:
        """Remember a file that the application uploaded. Raises `media_unreadable`."""
        new = media.NewMedia(company_id, media_id, None, msgspec.json.encode(file))
        with _readable(company_id):
            await self._database.write(media.keep, [new], keep_s)


@final
class DatabaseRemovals:
    """What is stored of companies that were removed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(self, company_id: str) -> None:
        """Erase it."""
        await removal.erase(self._database, company_id)


@final
class DatabaseServer:
    """The server that ``database`` is on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self) -> str:
        """Postgres' version, like `18.1`."""
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
