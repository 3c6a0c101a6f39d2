"""The HTTP side's records in a real PostgreSQL."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from actors.engine.protocol.contents import StoredFile
from actors.http.access.audit import AuditEntry
from actors.http.access.auth import Principal
from actors.http.model.problems import Problem
from actors.http.services.stores import database_stores
from storage.database.pool import Database, open_database
from storage.tables import api_keys, audit
from tests.support.master_keys import vault


async def test_keys_are_found_by_their_digest(database: Database) -> None:
    """With their scope, until they are revoked."""
    stores = database_stores(database, idempotency_ttl_s=60, owner="here/1")
    admin = await database.write(api_keys.create, "operator", None)
    limited = await database.write(api_keys.create, "shop", ["962302"])

    async def find(secret: str) -> Principal | None:
        digest = hashlib.sha256(secret.encode()).digest()
        return (await stores.keys.find_all([bytes(32), digest])).get(digest)

    assert await find(admin.secret) == Principal(admin.key_id, None)
    assert await find(limited.secret) == Principal(limited.key_id, frozenset({"962302"}))
    assert await find(admin.secret[:-1]) is None

    await database.write(api_keys.revoke, limited.key_id)
    assert await find(limited.secret) is None


async def test_a_request_is_claimed_and_then_has_its_answer(database: Database) -> None:
    """A second claim is refused; other companies' keys are their own."""
    store = database_stores(database, idempotency_ttl_s=60, owner="here/1").idempotency
    digest = b"a" * 32

    assert await store.claim("962302", "k", digest, claim="one", replaces=None)
    assert not await store.claim("962302", "k", b"b" * 32, claim="two", replaces=None)
    begun = await store.find("962302", "k")
    await store.settle("962302", "k", "one", b'{"n": 1}')
    await store.release("962302", "k", "one")
    done = await store.find("962302", "k")

    assert begun is not None
    assert done is not None
    assert (begun.digest, begun.response, begun.claim, begun.is_ours) == (digest, None, "one", True)
    assert (done.digest, done.response, done.claim) == (digest, b'{"n": 1}', "one")
    assert await store.find("962303", "k") is None


async def test_a_claim_of_this_installations_last_daemon_is_ours(database: Database) -> None:
    """Another installation's may be under way."""
    before = database_stores(database, idempotency_ttl_s=60, owner="here/1").idempotency
    await before.claim("962302", "k", b"a" * 32, claim="one", replaces=None)

    for owner, is_ours in (("here/2", True), ("there/3", False)):
        store = database_stores(database, idempotency_ttl_s=60, owner=owner).idempotency
        kept = await store.find("962302", "k")
        assert kept is not None
        assert kept.is_ours == is_ours


async def test_audit_entries_are_appended(database: Database) -> None:
    """All fields."""
    store = database_stores(database, idempotency_ttl_s=60, owner="here/1").audit

    await store.append(AuditEntry(at=1_790_000_000.5, key_id="k", action="kill", target="/http", address="::1"))

    (record,) = await audit.read(database)
    assert (record.at, record.key_id, record.action) == (1_790_000_000.5, "k", "kill")
    assert (record.target, record.address) == ("/http", "::1")


async def test_what_opens_a_file_is_sealed_and_watched(postgres_dsn: str, tmp_path: Path) -> None:
    """An upload's row that was changed gives neither a file nor "no such file"."""
    key = bytes(32)
    file = StoredFile(kind="image", direct_path="/v/a", media_key=key, file_sha256=key, file_enc_sha256=key, size=3)
    async with open_database(postgres_dsn, size=1, vault=vault(tmp_path / "master.key", 1)) as sealing:
        store = database_stores(sealing, idempotency_ttl_s=60, owner="here/1").media
        await store.keep("962302", "0a1b", file, 60.0)
        kept = await store.find("962302", "0a1b")
        await sealing.execute("UPDATE whatsapp_media SET media_id = '0a1c'")
        with pytest.raises(Problem) as moved:
            await store.find("962302", "0a1c")
        await sealing.execute("UPDATE whatsapp_media_keys SET wrapped = '\\x00'")
        with pytest.raises(Problem) as unusable:
            await store.keep("962302", "0a1d", file, 60.0)

    assert kept is not None
    assert kept.file == file
    assert [(error.value.kind.code, error.value.company_id) for error in (moved, unusable)] == [
        ("media_unreadable", "962302"),
    ] * 2


async def test_the_audit_log_is_read_as_it_was_written(database: Database) -> None:
    """A page from the newest backwards."""
    store = database_stores(database, idempotency_ttl_s=60, owner="here/1").audit
    for number in range(3):
        await store.append(AuditEntry(at=number, key_id="k", action="kill", target=f"/{number}", address="::1"))

    newest = await store.read(None, 2)
    older = await store.read(newest[-1].id, 2)

    assert [record.target for record in (*newest, *older)] == ["/2", "/1", "/0"]
    assert (newest[0].key_id, newest[0].action, newest[0].address, newest[0].count) == ("k", "kill", "::1", 1)
