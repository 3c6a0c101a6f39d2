"""Encryption at rest in the database: what it holds, and that only what was written ever comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.database.pool import Database, open_database
from storage.errors import BrokenSeal, InvalidValue, MasterKeyError, UnknownMasterKey, UnreadableState
from storage.tables import archive, auth_state, data_keys, leases
from storage.tables.auth_state import CommitResult, Delta, KeyChange
from storage.tables.sealed_rows import seal_company
from tests.support.master_keys import key_id, vault, write_keys

A, B = "962302", "962303"
CREDS = b'{"noiseKey": "canary-creds"}'
SESSION = KeyChange("session", "79000000001.0", b'{"n": "canary-session"}')
PRE_KEY = KeyChange("pre-key", "7", b'{"private": "canary-pre-key"}')
BOTH = (SESSION, PRE_KEY)


async def commit(
    database: Database, company_id: str = A, *changes: KeyChange, position: int = 1, creds: bytes | None = None
) -> CommitResult:
    lease = await database.write(leases.acquire, company_id, "daemon-1", 60.0)
    delta = Delta(company_id, "daemon-1", lease.epoch, "file-1", position, creds, changes, base=True)
    [result] = await database.write(auth_state.commit_deltas, [delta])
    return result


async def link(database: Database, company_id: str = A) -> None:
    """Give a company credentials and two keys."""
    assert (await commit(database, company_id, *BOTH, creds=CREDS)).error is None


async def everything_stored(database: Database) -> str:
    """All that a dump of the database would show of auth state."""
    tables = ("whatsapp_auth", "whatsapp_keys", "whatsapp_auth_archive", "whatsapp_data_keys")
    texts = [
        await database.fetchval(f"SELECT string_agg(t::text, '') FROM {table} t")  # pyright: ignore[reportArgumentType]
        for table in tables
    ]
    return "".join(text or "" for text in texts)


def values(state: auth_state.AuthState) -> dict[tuple[str, str], bytes]:
    return {(key_type, key_id): value for key_type, key_id, value in state.keys}


EXPECTED = {("session", "79000000001.0"): SESSION.value, ("pre-key", "7"): PRE_KEY.value}


async def test_with_a_master_key_nothing_readable_is_stored(sealing: Database) -> None:
    """Credentials and keys come back byte for byte; types and ids stay plain for the indexes, values do not."""
    await link(sealing)

    state = await auth_state.load(sealing, A)

    assert (state.creds, values(state)) == (CREDS, EXPECTED)
    stored = await everything_stored(sealing)
    assert "canary" not in stored
    assert "79000000001.0" in stored
    assert await sealing.fetchval("SELECT count(*) FROM whatsapp_keys WHERE value ? 'wasupSealed'") == 2


async def test_each_company_has_a_data_key_of_its_own(sealing: Database) -> None:
    """One live key a company, wrapped by the master key, made with its first commit and used for all later ones."""
    await link(sealing, A)
    await link(sealing, B)
    await commit(sealing, A, KeyChange("session", "2", b"2"), position=2)

    rows = await sealing.fetch("SELECT * FROM whatsapp_data_keys ORDER BY company_id")

    assert [(row["company_id"], row["kek_id"], row["all_sealed"]) for row in rows] == [
        (A, key_id(1), True), (B, key_id(1), True),
    ]  # fmt: skip
    assert rows[0]["wrapped"] != rows[1]["wrapped"]


async def test_another_daemon_with_the_same_master_key_reads_it(
    sealing: Database, postgres_dsn: str, file: Path
) -> None:
    """It needs only the master key."""
    await link(sealing)
    async with open_database(postgres_dsn, size=1, vault=vault(file, 1)) as other:
        assert (await auth_state.load(other, A)).creds == CREDS


# --- what is not what was written ---

SWAPS = {
    "a key moved to another company": "UPDATE whatsapp_keys v SET value = o.value FROM whatsapp_keys o"
    " WHERE v.company_id = '962302' AND v.key_type = 'session' AND o.company_id = '962303' AND o.key_type = 'session'",
    "a key moved to another key": "UPDATE whatsapp_keys v SET value = o.value FROM whatsapp_keys o"
    " WHERE v.company_id = '962302' AND v.key_type = 'session' AND o.company_id = '962302' AND o.key_type = 'pre-key'",
    "creds moved to a key": "UPDATE whatsapp_keys SET value = (SELECT creds FROM whatsapp_auth WHERE company_id = '962302')"
    " WHERE company_id = '962302' AND key_type = 'session'",
    "creds of another company": "UPDATE whatsapp_auth SET creds = (SELECT creds FROM whatsapp_auth WHERE company_id = '962303')"
    " WHERE company_id = '962302'",
    "a row renamed": "UPDATE whatsapp_keys SET key_id = '8' WHERE company_id = '962302' AND key_type = 'pre-key'",
    "rows given to another company": "UPDATE whatsapp_keys SET company_id = '962302', key_id = '9' || key_id"
    " WHERE company_id = '962303'",
    "a value cut short": "UPDATE whatsapp_keys SET value ="
    " jsonb_build_object('wasupSealed', left(value ->> 'wasupSealed', -4)) WHERE company_id = '962302'",
    "creds cut short": "UPDATE whatsapp_auth SET creds = jsonb_build_object('wasupSealed', left(creds ->> 'wasupSealed', 19))"
    " WHERE company_id = '962302'",
    "a flipped bit": "UPDATE whatsapp_auth SET creds = jsonb_build_object('wasupSealed', overlay(creds ->> 'wasupSealed'"
    " placing CASE substr(creds ->> 'wasupSealed', 40, 1) WHEN 'A' THEN 'B' ELSE 'A' END from 40)) WHERE company_id = '962302'",
    "a plain value in its place": "UPDATE whatsapp_auth SET creds = '{\"noiseKey\":\"forged\"}' WHERE company_id = '962302'",
    "a plain key more": "INSERT INTO whatsapp_keys VALUES ('962302', 'pre-key', '99', '1')",
    "something else altogether": "UPDATE whatsapp_auth SET creds = '{\"wasupSealed\": 7, \"more\": []}' WHERE company_id = '962302'",
    "the data key of another company": "UPDATE whatsapp_data_keys v SET wrapped = o.wrapped FROM whatsapp_data_keys o"
    " WHERE v.company_id = '962302' AND o.company_id = '962303'",
    "a data key cut short": "UPDATE whatsapp_data_keys SET wrapped = substr(wrapped, 1, 30) WHERE company_id = '962302'",
    "plain values allowed again": "UPDATE whatsapp_data_keys SET all_sealed = false WHERE company_id = '962302'",
    "the data key removed": "DELETE FROM whatsapp_data_keys WHERE company_id = '962302'",
    "an unknown master key": "UPDATE whatsapp_data_keys SET kek_id = '0123456789abcdef' WHERE company_id = '962302'",
}  # fmt: skip


@pytest.mark.parametrize("sql", SWAPS.values(), ids=SWAPS)
async def test_x5_what_is_not_what_was_written_is_an_error(sealing: Database, sql: str) -> None:
    """Never data, never "no credentials"; and the other company is not affected."""
    await link(sealing, A)
    await link(sealing, B)
    await sealing.execute(sql)  # pyright: ignore[reportArgumentType]

    with pytest.raises(UnreadableState) as caught:
        await auth_state.load(sealing, A)

    assert caught.value.company_id == A
    assert "canary" not in str(caught.value)
    assert (await auth_state.load(sealing, B)).creds == CREDS


async def test_x5_an_old_value_under_a_retired_key_does_not_open(sealing: Database) -> None:
    """A value from the archive, put back into its old place, belongs to a key that is no longer the company's."""
    await link(sealing)
    archived = await sealing.write(archive.archive, A, "logged out", owner="daemon-1", epoch=1)
    await link(sealing)
    await sealing.execute(
        "UPDATE whatsapp_auth SET creds = (SELECT creds FROM whatsapp_auth_archive WHERE id = $1)", archived
    )

    with pytest.raises(BrokenSeal, match="under another data key"):
        await auth_state.load(sealing, A)


async def test_a_company_whose_data_key_cannot_be_used_is_refused_alone(sealing: Database) -> None:
    """Its delta is refused with the reason and nothing of it written; the others of the batch are."""
    await link(sealing, A)
    await link(sealing, B)
    await sealing.execute("UPDATE whatsapp_data_keys SET kek_id = 'x' WHERE company_id = $1", A)
    more = KeyChange("session", "more", b"1")
    deltas = [Delta(company_id, "daemon-1", 1, "file-1", 2, None, (more,)) for company_id in (A, B)]

    refused, written = await sealing.write(auth_state.commit_deltas, deltas)

    assert isinstance(refused.error, UnknownMasterKey)
    assert written.error is None
    rows = await sealing.fetch("SELECT company_id FROM whatsapp_keys WHERE key_id = 'more'")
    assert [row["company_id"] for row in rows] == [B]
    assert (await auth_state.journal_position(sealing, A))[1] == 1


async def test_without_the_master_key_a_sealed_company_is_neither_read_nor_written(
    sealing: Database, database: Database
) -> None:
    """A daemon that has lost its key adds no plain value to sealed ones."""
    await link(sealing)

    with pytest.raises(UnknownMasterKey, match="none is configured"):
        await auth_state.load(database, A)
    refused = await commit(database, A, KeyChange("session", "more", b"1"), position=2)

    assert isinstance(refused.error, UnknownMasterKey)


async def test_beside_sealed_companies_no_new_one_is_stored_plain(sealing: Database, database: Database) -> None:
    """By a command or a daemon without the master key; a company that is plain already goes on as it is."""
    await link(database, B)
    await link(sealing, A)

    await database.write(leases.acquire, "new", "daemon-1", 60.0)
    new = Delta("new", "daemon-1", 1, "file-1", 1, CREDS, (SESSION,), base=True)
    other = Delta(B, "daemon-1", 1, "file-1", 2, None, (SESSION,))
    refused, written = await database.write(auth_state.commit_deltas, [new, other])

    assert isinstance(refused.error, MasterKeyError)
    assert "set WASUP_MASTER_KEY_FILE" in str(refused.error)
    assert written.error is None
    assert (await auth_state.load(database, "new")).keys == []


@pytest.mark.parametrize("value", [b'{"wasupSealed":"1.x.y"}', b' {"a":1, "\\u0077asupSealed":2, "wasupSealed":3}'])
async def test_a_plain_value_may_not_look_sealed(database: Database, sealing: Database, value: bytes) -> None:
    """It is refused like any other value that cannot be stored, with a master key and without."""
    for each in (database, sealing):
        refused = await commit(each, A, KeyChange("session", "k", value))
        assert isinstance(refused.error, InvalidValue)
        assert "form of a sealed value" in str(refused.error)


# --- from plain to sealed ---


async def test_plain_values_stay_readable_and_are_sealed_as_they_are_written(
    database: Database, sealing: Database
) -> None:
    """A company from before the master key works on at once."""
    await link(database)

    assert (await auth_state.load(sealing, A)).creds == CREDS
    await commit(sealing, A, SESSION, position=2)

    state = await auth_state.load(sealing, A)
    assert (state.creds, values(state)) == (CREDS, EXPECTED)
    sealed = await sealing.fetch("SELECT key_type FROM whatsapp_keys WHERE value ? 'wasupSealed'")
    assert [row["key_type"] for row in sealed] == ["session"]


async def test_a_company_can_be_sealed_at_once(database: Database, sealing: Database) -> None:
    """Every value, in place, without touching its age; from then on a plain one is a forgery. Doing it again does nothing."""
    await link(database)
    before = await database.fetchval("SELECT string_agg(updated_at::text, ' ' ORDER BY key_type) FROM whatsapp_keys")

    assert await sealing.write(seal_company, A) == 3
    assert await sealing.write(seal_company, A) == 0

    state = await auth_state.load(sealing, A)
    after = await sealing.fetchval("SELECT string_agg(updated_at::text, ' ' ORDER BY key_type) FROM whatsapp_keys")
    assert (state.creds, values(state)) == (CREDS, EXPECTED)
    assert "canary" not in await everything_stored(sealing)
    assert after == before
    await sealing.execute("INSERT INTO whatsapp_keys VALUES ($1, 'pre-key', '99', '1')", A)
    with pytest.raises(BrokenSeal, match="it is plain"):
        await auth_state.load(sealing, A)


async def test_sealing_a_company_half_written_meanwhile(database: Database, sealing: Database) -> None:
    """The values that were sealed by a commit stay as they are, the others follow."""
    await link(database)
    await commit(sealing, A, SESSION, position=2)

    assert await sealing.write(seal_company, A) == 2
    assert values(await auth_state.load(sealing, A)).keys() == EXPECTED.keys()


async def test_a_company_nobody_knows_needs_no_data_key(sealing: Database) -> None:
    """Without values to seal, no key is made."""
    assert await sealing.write(seal_company, "nobody") == 0
    assert await sealing.fetchval("SELECT count(*) FROM whatsapp_data_keys") == 0


# --- the archive, and re-pairing ---


async def test_the_archive_is_sealed_and_can_be_opened(sealing: Database) -> None:
    """Logged-out credentials are as unreadable as live ones, and not lost."""
    await link(sealing)

    archived = await sealing.write(archive.archive, A, "logged out", owner="daemon-1", epoch=1)
    assert archived is not None

    assert "canary" not in await everything_stored(sealing)
    found = await archive.load(sealing, archived)
    assert found is not None
    assert (found.company_id, found.creds, {row[:2]: row[2] for row in found.keys}) == (A, CREDS, EXPECTED)
    assert await archive.load(sealing, archived + 1) is None


async def test_plain_values_are_sealed_on_their_way_into_the_archive(database: Database, sealing: Database) -> None:
    """Also those from before there was a master key."""
    await link(database)

    archived = await sealing.write(archive.archive, A, "logged out", owner="daemon-1", epoch=1)

    assert archived is not None
    assert "canary" not in await everything_stored(sealing)
    assert (await archive.load(sealing, archived)) is not None


async def test_x5_an_archive_that_was_changed_does_not_open(sealing: Database) -> None:
    """The same promise as for live values."""
    await link(sealing)
    archived = await sealing.write(archive.archive, A, "logged out", owner="daemon-1", epoch=1)
    assert archived is not None
    await sealing.execute("UPDATE whatsapp_auth_archive SET creds = '{}'")

    with pytest.raises(BrokenSeal):
        await archive.load(sealing, archived)


async def test_what_cannot_be_sealed_can_still_be_archived(sealing: Database) -> None:
    """An operator can archive a company with an unusable data key, and nothing is lost."""
    await link(sealing)
    await sealing.execute("UPDATE whatsapp_data_keys SET kek_id = 'x', all_sealed = false")

    assert await sealing.write(archive.archive, A, "unusable", owner="daemon-1", epoch=1) is not None
    assert (await auth_state.load(sealing, A)).creds is None


async def test_linking_again_makes_a_new_data_key(sealing: Database) -> None:
    """The old one is kept for as long as its archive, and destroyed with it."""
    used: list[str] = []
    for _ in range(archive.KEEP + 2):
        await link(sealing)
        used.append(await sealing.fetchval("SELECT data_key_id FROM whatsapp_data_keys WHERE retired_at IS NULL"))
        await sealing.write(archive.archive, A, "logged out", owner="daemon-1", epoch=1)

    kept = [row["data_key_id"] for row in await sealing.fetch("SELECT data_key_id FROM whatsapp_data_keys")]
    assert len(set(used)) == len(used)
    assert sorted(kept) == sorted(used[-archive.KEEP :])


async def test_data_keys_of_destroyed_archives_are_destroyed(sealing: Database) -> None:
    """Each with its archive; the company's live key stays."""
    for _ in range(2):
        await link(sealing)
        await sealing.write(archive.archive, A, "logged out", owner="daemon-1", epoch=1)
    await link(sealing)
    await sealing.execute(
        "UPDATE whatsapp_auth_archive SET archived_at = now() - interval '2 minutes'"
        " WHERE id = (SELECT min(id) FROM whatsapp_auth_archive)"
    )

    assert await archive.prune(sealing, 60.0) == 1
    kept = await sealing.fetch("SELECT data_key_id, retired_at IS NULL AS live FROM whatsapp_data_keys ORDER BY live")
    archived = await sealing.fetchval("SELECT data_key_id FROM whatsapp_auth_archive")
    assert [row["live"] for row in kept] == [False, True]
    assert kept[0]["data_key_id"] == archived
    assert (await auth_state.load(sealing, A)).creds is not None


# --- at the start ---


async def test_a_database_without_sealed_rows_needs_no_master_key(database: Database) -> None:
    """Encryption is optional until a value is encrypted."""
    await link(database)

    assert await data_keys.require_master_key(database) == {}


async def test_a_sealed_database_needs_its_master_key(sealing: Database, database: Database, postgres_dsn: str) -> None:
    """Without one, or with a wrong one, the error says which is needed and what to set."""
    await link(sealing)

    assert await data_keys.require_master_key(sealing) == {}
    with pytest.raises(MasterKeyError, match=rf"1 companies .* {key_id(1)}, and none is configured: set WASUP_MASTER"):
        await data_keys.require_master_key(database)
    wrong = vault(sealing_file(sealing).with_name("wrong.key"), 2)
    async with open_database(postgres_dsn, size=1, vault=wrong) as other:
        with pytest.raises(MasterKeyError, match=rf"{key_id(1)}, but .*wrong\.key holds {key_id(2)}"):
            await data_keys.require_master_key(other)


async def test_single_companies_under_another_master_key_do_not_stop_the_others(sealing: Database) -> None:
    """They are counted, so that the daemon can report them."""
    await link(sealing, A)
    write_keys(sealing_file(sealing), 2, 1)
    await link(sealing, B)
    write_keys(sealing_file(sealing), 2)

    other = vault(sealing_file(sealing), 2)
    assert other.master_keys is not None
    sealing.vault.master_keys = other.master_keys

    assert await data_keys.require_master_key(sealing) == {key_id(1): 1}


def sealing_file(database: Database) -> Path:
    assert database.vault.master_keys is not None
    return database.vault.master_keys.file
