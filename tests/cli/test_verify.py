"""`wasup verify`: everything stored of the companies is opened and checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.database.pool import Database, open_database
from storage.tables import auth_state, leases, media, webhook_secrets
from storage.tables.auth_state import Delta, KeyChange
from tests.cli.terminal import Terminal
from tests.engine.rows import creds
from tests.support.master_keys import key_id, vault

A, B = "962302", "962303"
MUTED = b'{"mutedUntil":1,"pinned":true,"archived":false}'
WEBHOOK = "INSERT INTO webhooks (webhook_id, url, secrets, kek_id, cursor) VALUES ($1, 'https://a.example', $2, $3, 0)"


async def link(database: Database, company_id: str, value: bytes = MUTED, credentials: bytes | None = None) -> None:
    await database.write(leases.acquire, company_id, "daemon-1", 60.0)
    changes = (KeyChange("whatsmeow-chat-settings", "2@lid", value),)
    delta = Delta(company_id, "daemon-1", 1, "file-1", 1, credentials or creds(), changes, base=True)
    (result,) = await database.write(auth_state.commit_deltas, [delta])
    assert result.error is None


async def test_everything_can_be_used(configured: Terminal, postgres_dsn: str, key_file: Path) -> None:
    """Counts, sealed and plain companies, webhooks; no fault."""
    async with open_database(postgres_dsn, size=1) as plain:
        await link(plain, A)
    async with open_database(postgres_dsn, size=1, vault=vault(key_file, 1)) as sealing:
        await link(sealing, B)
        await sealing.write(media.keep, [media.NewMedia(B, number, None, b"{}") for number in "abc"], 60.0)
        secrets = webhook_secrets.Secrets(webhook_secrets.new_secret())
        await sealing.execute(WEBHOOK, "hook-1", *webhook_secrets.seal(sealing.vault, "hook-1", secrets))

    told = await configured.run("verify", "--json")
    said = await configured.run("verify")

    assert (told.code, said.code) == (0, 0)
    assert told.json == {
        "companies": 2, "linked": 2, "values": 4, "files": 3, "webhooks": 1, "unreadable": {}, "leftOut": {},
    }  # fmt: skip
    assert said.lines == [
        "2 companies, 2 of them linked, 4 values and 1 webhooks read",
        "what it takes to fetch 3 files",
    ]


async def test_nothing_stored(configured: Terminal) -> None:
    """An empty database is in order."""
    told = await configured.run("verify", "--json")

    assert (told.code, told.json["companies"]) == (0, 0)


async def test_what_was_moved_or_changed_is_named(configured: Terminal, postgres_dsn: str, key_file: Path) -> None:
    """A company with another's credentials and a webhook with another's secret; the rest is still read."""
    async with open_database(postgres_dsn, size=1, vault=vault(key_file, 1)) as sealing:
        await link(sealing, A)
        await link(sealing, B)
        sealed = webhook_secrets.seal(sealing.vault, "hook-1", webhook_secrets.Secrets("whsec_a"))
        await sealing.execute(WEBHOOK, "hook-2", *sealed)
        await sealing.execute(
            "UPDATE whatsapp_auth SET creds = (SELECT creds FROM whatsapp_auth WHERE company_id = $1)", A
        )

    told = await configured.run("verify", "--json")

    assert told.code == 1
    assert set(told.json["unreadable"]) == {B, "hook-2"}
    assert told.json["linked"] == 1
    assert "2 cannot be used: 962303: company 962303" in told.err


async def test_a_file_that_was_moved_is_named(configured: Terminal, postgres_dsn: str, key_file: Path) -> None:
    """By its company, however many files are before it."""
    async with open_database(postgres_dsn, size=1, vault=vault(key_file, 1)) as sealing:
        await sealing.write(media.keep, [media.NewMedia(A, f"{n:04}", None, b"{}") for n in range(1500)], 60.0)
        await sealing.execute("UPDATE whatsapp_media SET media_id = '9999' WHERE media_id = '0007'")

    told = await configured.run("verify", "--json")

    assert told.code == 1
    assert "what opens a file: it was changed, cut short or moved here" in told.json["unreadable"][A]


async def test_what_a_device_file_cannot_be_built_from_is_named(configured: Terminal, database: Database) -> None:
    """Invalid credentials are an error; an invalid key is left out, and reported."""
    await link(database, A, value=b'{"mutedUntil":"never"}')
    await link(database, B, credentials=b'{"me":{}}')

    told = await configured.run("verify", "--json")
    said = await configured.run("verify")

    assert told.code == 1
    assert set(told.json["unreadable"]) == {B}
    assert told.json["leftOut"] == {A: 1}
    assert "company 962302: 1 keys are of no use and would be left out of its device file" in said.out


async def test_without_the_master_key(
    configured: Terminal, postgres_dsn: str, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The needed key is named by its id."""
    async with open_database(postgres_dsn, size=1, vault=vault(key_file, 1)) as sealing:
        await link(sealing, A)
    monkeypatch.delenv("WASUP_MASTER_KEY_FILE")

    ended = await configured.run("verify")

    assert ended.code == 1
    assert f"sealed under master key {key_id(1)}, and none is configured" in ended.err


async def test_an_older_schema_is_not_read(
    configured: Terminal, empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it changed: it may be a backup."""
    monkeypatch.setenv("DATABASE_URL", empty_dsn)

    ended = await configured.run("verify")

    assert ended.code == 6
    assert "the schema lacks 0001_initial" in ended.err
    async with open_database(empty_dsn, size=1) as database:
        assert await database.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
