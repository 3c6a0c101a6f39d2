"""`wasup rotate-key`: a new master key, while daemons go on."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from storage.crypto.master_key import MasterKeys
from storage.crypto.sealing import Vault
from storage.database.pool import Database, open_database
from storage.tables import archive, auth_state, leases
from storage.tables.auth_state import Delta, KeyChange
from storage.upkeep.rotation import BATCH_KEYS, Rotated, rewrap_all
from tests.cli.terminal import Terminal, running
from tests.support.master_keys import key_id, vault, write_keys

CREDS = b'{"noiseKey": "canary"}'
PLANTED = """
    INSERT INTO whatsapp_leases (company_id, owner, epoch, acquired_at, expires_at)
    SELECT 'c' || n, 'daemon-1', 1, now(), now() + interval '1 hour' FROM generate_series(1, $1) n
"""
JOURNALS = "INSERT INTO whatsapp_journal (company_id) SELECT 'c' || n FROM generate_series(1, $1) n"


async def link(database: Database, companies: int, position: int = 1) -> None:
    """Give companies c1, c2 … credentials and a key; later positions only change them."""
    if position == 1:
        await database.fetch(PLANTED, companies)
        await database.fetch(JOURNALS, companies)
    deltas = [
        Delta(f"c{n}", "daemon-1", 1, "file-1", position, CREDS, (KeyChange("session", "s", b"1"),), position == 1)
        for n in range(1, companies + 1)
    ]
    for start in range(0, companies, 500):
        results = await database.write(auth_state.commit_deltas, deltas[start : start + 500])
        assert [result.error for result in results if result.error is not None] == []


async def kek_ids(database: Database) -> set[str]:
    return {row["kek_id"] for row in await database.fetch("SELECT kek_id FROM whatsapp_data_keys")}


async def test_every_data_key_is_wrapped_anew(configured: Terminal, postgres_dsn: str, key_file: Path) -> None:
    """The new key stands above the old one in the file; afterwards the old one is not needed, not even by archives."""
    async with open_database(postgres_dsn, size=2, vault=vault(key_file, 1)) as database:
        await link(database, 3)
        archived = await database.write(archive.archive, "c3", "logged out", owner="daemon-1", epoch=1)
        write_keys(key_file, 2, 1)

        first = await configured.run("rotate-key", "--json")
        again = await configured.run("rotate-key")
        used = await configured.run("stats", "--json")

        assert (first.code, again.code) == (0, 0)
        assert first.json == {
            "masterKey": key_id(2),
            "rewrapped": 3,
            "webhooks": 0,
            "sealed": {"companies": 0, "values": 0, "archives": 0, "files": 0},
            "unreadable": {},
        }
        assert again.lines == [
            f"0 data keys are wrapped by master key {key_id(2)} now",
            "nothing in the database needs another master key",
        ]
        assert used.json["masterKeys"] == [{"masterKey": key_id(2), "live": 2, "archived": 1}]
    async with open_database(postgres_dsn, size=1, vault=vault(key_file, 2)) as after:
        assert (await auth_state.load(after, "c1")).creds == CREDS
        found = await archive.load(after, archived or 0)
        assert found is not None
        assert found.creds == CREDS


async def test_old_and_new_key_files_can_be_given(
    configured: Terminal, postgres_dsn: str, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no settings, as on a machine that runs no daemon."""
    async with open_database(postgres_dsn, size=1, vault=vault(key_file, 1)) as database:
        await link(database, 1)
        monkeypatch.delenv("WASUP_MASTER_KEY_FILE")
        new = write_keys(key_file.with_name("new.key"), 2)

        unknown = await configured.run("rotate-key", "--new-key-file", str(new))
        done = await configured.run("rotate-key", "--new-key-file", str(new), "--old-key-file", str(key_file))

        assert unknown.code == 1
        assert (
            f"1 companies were left as they are (company c1: its data key: it is wrapped by the master key {key_id(1)}"
            in (unknown.err)
        )
        assert done.code == 0
        assert await kek_ids(database) == {key_id(2)}


async def test_a_key_that_the_daemon_does_not_know_is_refused(
    configured: Terminal, postgres_dsn: str, key_file: Path
) -> None:
    """It could read no company any more: nothing is changed, and the error says what comes first."""
    async with open_database(postgres_dsn, size=1, vault=vault(key_file, 1)) as database:
        await link(database, 1)
        new = write_keys(key_file.with_name("new.key"), 2)

        refused = await configured.run("rotate-key", "--new-key-file", str(new))

        assert refused.code == 6
        assert f"does not hold the new key {key_id(2)}: put it there first" in refused.err
        assert await kek_ids(database) == {key_id(1)}


async def test_no_key_at_all(configured: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Exit code 3, and what to set; a file that holds no key is named."""
    monkeypatch.delenv("WASUP_MASTER_KEY_FILE")
    (tmp_path / "bad.key").write_text("hunter2\n")

    nothing = await configured.run("rotate-key")
    bad = await configured.run("rotate-key", "--new-key-file", str(tmp_path / "bad.key"))

    assert (nothing.code, bad.code) == (3, 3)
    assert "set WASUP_MASTER_KEY_FILE" in nothing.err
    assert "bad.key:1 is a key of 5 bytes" in bad.err
    assert "hunter2" not in bad.err


async def test_what_is_plain_is_sealed(
    configured: Terminal, postgres_dsn: str, key_file: Path, database: Database
) -> None:
    """The way in for an installation that had no master key: live values and archives."""
    await link(database, 3)
    archived = await database.write(archive.archive, "c3", "logged out", owner="daemon-1", epoch=1)

    done = await configured.run("rotate-key", "--json")
    again = await configured.run("rotate-key", "--json")

    assert done.json["sealed"] == {"companies": 2, "values": 4, "archives": 1, "files": 0}
    assert again.json["sealed"] == {"companies": 0, "values": 0, "archives": 0, "files": 0}
    for table in ("whatsapp_auth", "whatsapp_keys", "whatsapp_auth_archive"):
        assert "canary" not in str(await database.fetchval(f"SELECT string_agg(t::text, '') FROM {table} t"))  # pyright: ignore[reportArgumentType]
    async with open_database(postgres_dsn, size=1, vault=vault(key_file, 1)) as after:
        assert (await auth_state.load(after, "c2")).creds == CREDS
        found = await archive.load(after, archived or 0)
        assert found is not None
        assert (found.creds, found.keys) == (CREDS, [("session", "s", b"1")])


async def test_a_damaged_data_key_does_not_stop_the_others(
    configured: Terminal, postgres_dsn: str, key_file: Path
) -> None:
    """It is named, the command fails at its end, and everything else is done."""
    async with open_database(postgres_dsn, size=1, vault=vault(key_file, 1)) as database:
        await link(database, 3)
        await database.execute("UPDATE whatsapp_data_keys SET wrapped = '\\x00' WHERE company_id = 'c2'")
        write_keys(key_file, 2, 1)

        done = await configured.run("rotate-key", "--json")

        assert done.code == 1
        assert done.json["rewrapped"] == 2
        assert list(done.json["unreadable"]) == ["c2"]


async def test_a_rotation_that_was_cut_off_is_gone_on_with(
    configured: Terminal, postgres_dsn: str, key_file: Path
) -> None:
    """Half of the keys under the new master key: all of them are readable meanwhile, and the rest follows."""
    async with open_database(postgres_dsn, size=2, vault=vault(key_file, 1)) as database:
        await link(database, 2 * BATCH_KEYS)
    write_keys(key_file, 2, 1)
    keys = MasterKeys(key_file)
    batches: list[int] = []

    def cut_off(done: int, _of: int) -> None:
        batches.append(done)
        raise KeyboardInterrupt

    async with open_database(postgres_dsn, size=2, vault=Vault(keys)) as database:
        with pytest.raises(KeyboardInterrupt):
            await rewrap_all(database, keys.current(), Rotated(), cut_off)
        assert (await kek_ids(database), batches) == ({key_id(1), key_id(2)}, [BATCH_KEYS])
        assert (await auth_state.load(database, "c1")).creds == CREDS
        assert (await auth_state.load(database, f"c{2 * BATCH_KEYS}")).creds == CREDS

    assert (await configured.run("rotate-key", "--json")).json["rewrapped"] == BATCH_KEYS


async def test_x6_reads_and_writes_go_on_during_a_rotation(
    configured: Terminal, postgres_dsn: str, key_file: Path
) -> None:
    """A daemon that follows its key file sees no failure, over three rotations; new companies are wrapped by the newest key."""
    companies = 50
    counted = {"reads": 0, "writes": 1}
    stop = trio.Event()

    async def read(database: Database) -> None:
        while not stop.is_set():
            company_id = f"c{counted['reads'] % companies + 1}"
            assert (await auth_state.load(database, company_id)).creds == CREDS
            counted["reads"] += 1

    async def write(database: Database) -> None:
        while not stop.is_set():
            counted["writes"] += 1
            await link(database, companies, position=counted["writes"])

    async with open_database(postgres_dsn, size=4, vault=vault(key_file, 1)) as daemon:
        await link(daemon, companies)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(read, daemon)
            nursery.start_soon(write, daemon)
            for number in (2, 3, 4):
                write_keys(key_file, number, number - 1)
                async with running(configured, "rotate-key", "--json") as ended:
                    pass
                assert (ended[0].code, ended[0].json["unreadable"]) == (0, {})
                assert await kek_ids(daemon) == {key_id(number)}
                write_keys(key_file, number)
                reads, writes = counted["reads"] + companies, counted["writes"] + 2
                while counted["reads"] < reads or counted["writes"] < writes:
                    await trio.sleep(0.01)
            stop.set()

        await daemon.write(leases.acquire, "new", "daemon-1", 60.0)
        await daemon.write(auth_state.commit_deltas, [Delta("new", "daemon-1", 1, "f", 1, CREDS, (), base=True)])
        assert await kek_ids(daemon) == {key_id(4)}
    print(f"X6: {counted} of {companies} companies during three rotations, 0 failed")
