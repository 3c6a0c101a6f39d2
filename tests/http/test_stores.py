"""The HTTP side's records in a real PostgreSQL."""

from __future__ import annotations

import hashlib

from actors.http.audit import AuditEntry
from actors.http.auth import Principal
from actors.http.idempotency import Remembered
from actors.http.stores import database_stores
from storage import api_keys, audit
from storage.pool import Database


async def test_keys_are_found_by_their_digest(database: Database) -> None:
    """With their scope, until they are revoked."""
    stores = database_stores(database, idempotency_ttl_s=60)
    admin = await database.write(api_keys.create, "operator", None)
    limited = await database.write(api_keys.create, "shop", ["962302"])

    async def find(secret: str) -> Principal | None:
        return await stores.keys.find(hashlib.sha256(secret.encode()).digest())

    assert await find(admin.secret) == Principal(admin.key_id, None)
    assert await find(limited.secret) == Principal(limited.key_id, frozenset({"962302"}))
    assert await find(admin.secret[:-1]) is None

    await database.write(api_keys.revoke, limited.key_id)
    assert await find(limited.secret) is None


async def test_the_first_answer_under_a_key_stays(database: Database) -> None:
    """A second one does not replace it; other companies' keys are their own."""
    store = database_stores(database, idempotency_ttl_s=60).idempotency
    first = Remembered(b"a" * 32, b'{"n": 1}')

    await store.remember("962302", "k", first)
    await store.remember("962302", "k", Remembered(b"b" * 32, b'{"n": 2}'))

    assert await store.find("962302", "k") == first
    assert await store.find("962303", "k") is None


async def test_audit_entries_are_appended(database: Database) -> None:
    """All fields."""
    store = database_stores(database, idempotency_ttl_s=60).audit

    await store.append(AuditEntry(at=1_790_000_000.5, key_id="k", action="kill", target="/http", address="::1"))

    (record,) = await audit.read(database)
    assert (record.at, record.key_id, record.action) == (1_790_000_000.5, "k", "kill")
    assert (record.target, record.address) == ("/http", "::1")
