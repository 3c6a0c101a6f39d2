"""The keys of files, encrypted at rest: what the database holds, and that only what was stored ever comes back."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from config.sections import WebhookSettings
from storage.database.pool import Database, open_database
from storage.errors import BrokenSeal, MasterKeyError, UnknownMasterKey, UnreadableState
from storage.tables import data_keys, media, media_keys
from storage.tables.media import NewMedia
from storage.upkeep.rotation import Rotated, master_key_use, rewrap_all, seal_everything
from storage.upkeep.sweep import sweep
from tests.support.held_write import HeldWrite
from tests.support.master_keys import key_id, vault, write_keys

A, B = "962302", "962303"
FILE = b'{"kind":"image","mediaKey":"canary"}'


async def keep(database: Database, *media_ids: str, company_id: str = A) -> None:
    """Remember files of these ids."""
    await database.write(media.keep, [NewMedia(company_id, media_id, "3EB0", FILE) for media_id in media_ids], 60.0)


async def found(database: Database, media_id: str, company_id: str = A) -> bytes | None:
    kept = await media.find(database, company_id, media_id)
    return None if kept is None else kept.file


async def stored(database: Database) -> str:
    """The content of a dump of the database."""
    rows: str | None = await database.fetchval("SELECT string_agg(m::text, '') FROM whatsapp_media m")
    keys: str | None = await database.fetchval("SELECT string_agg(k::text, '') FROM whatsapp_media_keys k")
    return (rows or "") + (keys or "")


def unheard(_done: int, _of: int) -> None:
    """A callback that drops the progress."""


async def test_with_a_master_key_nothing_readable_is_stored(sealing: Database) -> None:
    """A file's row comes back byte for byte; in the tables are its ids and times only."""
    await keep(sealing, "a", "b")

    assert await found(sealing, "a") == FILE
    assert await found(sealing, "none") is None
    assert "canary" not in await stored(sealing)
    assert "mediaKey" not in await stored(sealing)


async def test_each_company_has_a_key_of_its_own_for_files(sealing: Database) -> None:
    """Made with its first file, used for all later ones, and marked as having no plain ones beside it."""
    await keep(sealing, "a")
    await keep(sealing, "b")
    await keep(sealing, "a", company_id=B)

    rows = await sealing.fetch("SELECT company_id, kek_id, all_sealed FROM whatsapp_media_keys ORDER BY company_id")
    assert [tuple(row[name] for name in ("company_id", "kek_id", "all_sealed")) for row in rows] == [
        (A, key_id(1), True),
        (B, key_id(1), True),
    ]


SWAPS = {
    "a row moved to another company": "UPDATE whatsapp_media SET company_id = '962302', media_id = 'x' WHERE company_id = '962303'",
    "a row moved to another id": "UPDATE whatsapp_media SET media_id = 'x' WHERE company_id = '962302'",
    "another file's value": "UPDATE whatsapp_media v SET file = o.file, media_id = 'x' FROM whatsapp_media o"
    " WHERE v.company_id = '962302' AND o.company_id = '962303'",
    "cut short": "UPDATE whatsapp_media SET media_id = 'x', file = (left(file::text, -6) || '\"}')::json"
    " WHERE company_id = '962302'",
    "a plain row": "INSERT INTO whatsapp_media SELECT company_id, 'x', NULL, '{\"kind\":\"image\"}', now(), expires_at"
    " FROM whatsapp_media WHERE company_id = '962302'",
    "another company's key": "UPDATE whatsapp_media_keys v SET wrapped = o.wrapped, data_key_id = o.data_key_id"
    " FROM whatsapp_media_keys o WHERE v.company_id = '962302' AND o.company_id = '962303'",
    "the key removed": "DELETE FROM whatsapp_media_keys WHERE company_id = '962302'",
    "plain rows allowed": "UPDATE whatsapp_media_keys SET all_sealed = false WHERE company_id = '962302'",
    "an unknown master key": "UPDATE whatsapp_media_keys SET kek_id = '0123456789abcdef' WHERE company_id = '962302'",
}  # fmt: skip


@pytest.mark.parametrize("sql", SWAPS.values(), ids=SWAPS)
async def test_what_is_not_what_was_kept_is_an_error(sealing: Database, sql: str) -> None:
    """Never data and never "no such file"; and the error quotes nothing of it."""
    await keep(sealing, "a")
    await keep(sealing, "a", company_id=B)
    await sealing.execute(sql)  # pyright: ignore[reportArgumentType]
    media_id: str = await sealing.fetchval("SELECT max(media_id) FROM whatsapp_media WHERE company_id = $1", A)

    with pytest.raises(UnreadableState) as caught:
        await found(sealing, media_id)

    assert caught.value.company_id == A
    assert "canary" not in str(caught.value)


async def test_a_key_for_auth_state_opens_no_files(sealing: Database) -> None:
    """A key's purpose is bound into its wrapping: a row of one table does not fit the other."""
    await keep(sealing, "a")
    stored_key, _ = sealing.vault.make(A, all_sealed=True)
    await sealing.execute(
        "UPDATE whatsapp_media_keys SET data_key_id = $1, wrapped = $2", stored_key.data_key_id, stored_key.wrapped
    )

    with pytest.raises(BrokenSeal, match="its data key"):
        await found(sealing, "a")


async def test_without_the_master_key_files_are_neither_read_nor_kept(sealing: Database, database: Database) -> None:
    """No plain row is added to sealed ones, and the file is not stored."""
    await keep(sealing, "a")

    with pytest.raises(UnknownMasterKey):
        await found(database, "a")
    with pytest.raises(UnknownMasterKey):
        await keep(database, "b")
    assert await database.fetchval("SELECT count(*) FROM whatsapp_media") == 1


async def test_a_database_whose_files_are_sealed_needs_its_master_key(sealing: Database, database: Database) -> None:
    """Also when no company is linked (any more)."""
    await keep(sealing, "a")

    with pytest.raises(MasterKeyError, match=f"1 companies .* {key_id(1)}"):
        await data_keys.require_master_key(database)


async def test_plain_files_stay_readable_and_are_sealed(
    database: Database, sealing: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those from before the master key: at once while they are plain, and from the clean-up on sealed; then a plain one is a forgery."""
    monkeypatch.setattr(media_keys, "SEALED_AT_ONCE", 2)
    await keep(database, "a", "b", "c", "d", "e")
    await keep(database, "a", company_id=B)
    await keep(sealing, "new")

    assert await found(sealing, "a") == FILE
    assert await media_keys.seal_plain(sealing) == (6, {})
    assert await media_keys.seal_plain(sealing) == (0, {})
    assert [await found(sealing, media_id) for media_id in ("a", "b", "e", "new")] == [FILE] * 4
    assert "canary" not in await stored(sealing)
    await sealing.execute("UPDATE whatsapp_media SET file = '{}' WHERE media_id = 'b'")
    with pytest.raises(BrokenSeal, match="it is plain"):
        await found(sealing, "b")


async def test_the_clean_up_seals_what_is_plain(database: Database, sealing: Database) -> None:
    """With a master key; without one it leaves files as they are."""
    await keep(database, "a")

    without = await sweep(database, keep_events_s=60.0, keep_archives_s=60.0, webhooks=WebhookSettings())
    swept = await sweep(sealing, keep_events_s=60.0, keep_archives_s=60.0, webhooks=WebhookSettings())

    assert (without.sealed_files, swept.sealed_files) == (0, 1)
    assert "canary" not in await stored(sealing)


async def test_sealing_leaves_alone_whose_key_cannot_be_used(database: Database, sealing: Database) -> None:
    """It is named; the others are sealed."""
    await keep(database, "a")
    await keep(database, "a", company_id=B)
    await keep(sealing, "b")
    await sealing.execute("UPDATE whatsapp_media_keys SET wrapped = '\\x00' WHERE company_id = $1", A)

    sealed, failed = await media_keys.seal_plain(sealing)

    assert (sealed, list(failed)) == (1, [A])
    assert await found(sealing, "a", B) == FILE


async def test_a_new_master_key_wraps_the_keys_of_files_too(
    sealing: Database, database: Database, postgres_dsn: str, file: Path
) -> None:
    """Afterwards the old one is not needed, and plain rows are sealed."""
    await keep(database, "plain", company_id=B)
    await keep(sealing, "a")
    write_keys(file, 2, 1)
    rotated = Rotated()

    async with open_database(postgres_dsn, size=1, vault=vault(file, 2, 1)) as both:
        assert both.vault.master_keys is not None
        await rewrap_all(both, both.vault.master_keys.current(), rotated, unheard)
        await seal_everything(both, rotated, unheard)
        used = await master_key_use(both)

    assert (rotated.rewrapped, rotated.sealed_files, rotated.unreadable) == (1, 1, {})
    assert [(use.master_key, use.live) for use in used] == [(key_id(2), 2)]
    async with open_database(postgres_dsn, size=1, vault=vault(file.with_name("new.key"), 2)) as after:
        assert await found(after, "a") == FILE
        assert await found(after, "plain", B) == FILE


async def test_keys_of_companies_without_files_are_destroyed(sealing: Database) -> None:
    """However many there are; one that is in use stays, and a company whose key is gone gets another with its next file."""
    for number in range(5):
        await keep(sealing, "a", company_id=f"c{number}")
    await sealing.execute("DELETE FROM whatsapp_media WHERE company_id <> 'c2'")

    assert await media_keys.prune(sealing, batch=2) == 4
    assert await media_keys.prune(sealing) == 0

    await keep(sealing, "b", company_id="c1")
    assert await found(sealing, "b", "c1") == FILE
    assert await found(sealing, "a", "c2") == FILE


async def test_a_key_whose_first_file_is_on_its_way_is_not_destroyed(sealing: Database) -> None:
    """A clean-up between the sealing and its commit would leave a file that cannot be opened."""
    await keep(sealing, "a")
    await sealing.execute("DELETE FROM whatsapp_media")
    held = HeldWrite(media.keep, [NewMedia(A, "b", "3EB0", FILE)], 60.0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sealing.write, held)
        await held.entered.wait()
        destroyed = await media_keys.prune(sealing)
        held.release()

    assert destroyed == 0
    assert await found(sealing, "b") == FILE
