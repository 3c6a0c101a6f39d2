"""`wasup import-baileys` and `export-baileys` on a real database: what they change, and that a failure changes nothing."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage.baileys.directory import read_directory
from storage.baileys.sealing import Tombstone, find_tombstone, hold_directory, moved_name, seal, unseal
from storage.crypto.sealing import is_sealed
from storage.database.connection import Reader
from storage.database.pool import Database, open_database
from storage.errors import StorageUnavailable
from storage.tables import audit, auth_state, companies, leases
from storage.tables.auth_state import AuthState, Delta
from storage.upkeep import transfer as moving
from storage.upkeep.transfer import EXPORTED
from storage.whatsmeow.codec import decode_buffer
from tests.cli.terminal import Terminal
from tests.support import baileys as b
from tests.support.master_keys import write_keys
from tests.support.records import is_wanted

COMPANY = "962302"


@pytest.fixture
def terminal(bare_terminal: Terminal, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The command line on a database of its own; it does not wait for leases of others."""
    monkeypatch.setenv("DATABASE_URL", postgres_dsn)
    monkeypatch.setenv("WASUP_STORAGE_MOVE_LEASE_WAIT_S", "0")
    return bare_terminal


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncGenerator[Database]:
    """The same database, for reading."""
    async with open_database(postgres_dsn, size=1) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A directory of Baileys 7, an hour old."""
    return b.write(tmp_path / "auth", b.directory_v7())


def around(path: Path) -> dict[str, str]:
    """Every file beside and in the directory, with its content."""
    return {
        str(file.relative_to(path.parent)): file.read_bytes().hex()
        for file in path.parent.rglob("*")
        if file.is_file() and "state" not in file.parts
    }


def names_beside(path: Path) -> set[str]:
    """The names beside the directory, without the command line's own state."""
    return {entry.name for entry in path.parent.iterdir()} - {"state"}


def move(path: Path, to: Path) -> None:
    """Move it as a process does that ends right after."""
    path.rename(to)


async def is_untouched(database: Database) -> bool:
    """No state and no company, and the lease is free."""
    state = await auth_state.load(database, COMPANY)
    owner = await database.fetchval("SELECT owner FROM whatsapp_leases WHERE company_id = $1", COMPANY)
    return state.creds is None and not state.keys and owner is None and await companies.find(database, COMPANY) is None


async def test_a_dry_run_only_looks(terminal: Terminal, database: Database, path: Path) -> None:
    """The same report, and nothing is changed: neither the directory nor the database."""
    before = around(path)

    dry = await terminal.run("import-baileys", str(path), COMPANY, "--dry-run", "--json")
    again = await terminal.run("import-baileys", str(path), COMPANY, "--dry-run")

    assert (dry.code, again.code) == (0, 0)
    assert dry.json["state"] == "checked"
    assert dry.json["moved"] == {
        "creds": 1, "pre-key": 4, "session": 3, "sender-key": 3, "app-state-sync-key": 1, "lid-mapping": 2, "tctoken": 1,
        "identity-key": 4,
    }  # fmt: skip
    assert dry.json["left"] == {"not needed": 4}
    assert "nothing was changed" in again.out
    assert around(path) == before
    assert await is_untouched(database)


async def test_an_import(terminal: Terminal, database: Database, path: Path) -> None:
    """The state is stored, the directory sealed and backed up, the company recorded as running, its lease free."""
    source = read_directory(path)

    done = await terminal.run("import-baileys", str(path), COMPANY, "--json")

    assert done.code == 0
    assert done.json["state"] == "imported"
    state = await auth_state.load(database, COMPANY)
    assert state.file_id == f"baileys-{source.digest[:32]}"
    assert len(state.keys) == sum(done.json["moved"].values()) - 1
    assert await is_wanted(database, COMPANY)
    assert await database.fetchval("SELECT owner FROM whatsapp_leases") is None
    tombstone = find_tombstone(path)
    assert tombstone is not None
    assert (tombstone.is_done, tombstone.company_id) == (True, COMPANY)
    assert read_directory(Path(done.json["movedTo"])).digest == source.digest
    assert names_beside(path) == {path.name, Path(done.json["movedTo"]).name, Path(done.json["backup"]).name}


async def test_moves_are_in_the_audit_log(terminal: Terminal, database: Database, path: Path, tmp_path: Path) -> None:
    """It records who imported a device and who exported it."""
    await terminal.run("import-baileys", str(path), COMPANY)
    await terminal.run("export-baileys", COMPANY, str(tmp_path / "out"))

    found = [(record.action, record.target) for record in await audit.read(database)]
    assert found == [("company_exported", COMPANY), ("company_imported", COMPANY)]


async def test_an_encrypted_company_moves_like_any_other(
    terminal: Terminal, database: Database, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a master key no value is stored plain, and the export equals the import."""
    monkeypatch.setenv("WASUP_MASTER_KEY_FILE", str(write_keys(tmp_path / "keys", 1)))

    done = await terminal.run("import-baileys", str(path), COMPANY, "--json")
    stored = await database.fetch("SELECT value FROM whatsapp_keys WHERE company_id = $1", COMPANY)
    out = await terminal.run("export-baileys", COMPANY, str(tmp_path / "out"), "--json")

    assert (done.code, out.code) == (0, 0)
    assert len(stored) == sum(done.json["moved"].values()) - 1
    assert all(is_sealed(row["value"]) for row in stored)
    identity = read_directory(tmp_path / "out").find(f"identity-key-{b.PEER_LID}_1.3.json")
    assert identity is not None
    assert decode_buffer(msgspec.json.decode(identity.data)) == b.typed("newer identity")


async def test_an_import_for_people(terminal: Terminal, path: Path) -> None:
    """What was imported, what was left out and why, what to do next, and what must never be done."""
    done = await terminal.run("import-baileys", str(path), COMPANY)

    assert "session             3" in done.out
    assert "chat settings are fetched anew" in done.out
    assert f"POST /api/whatsapp/sessions/{COMPANY}/start" in done.out
    assert "may be used again" in done.err


async def test_a_second_import_has_nothing_to_do(terminal: Terminal, database: Database, path: Path) -> None:
    """It says so, and ends well."""
    await terminal.run("import-baileys", str(path), COMPANY)
    before, stored = around(path), await auth_state.load(database, COMPANY)

    again = await terminal.run("import-baileys", str(path), COMPANY, "--json")
    elsewhere = await terminal.run("import-baileys", str(path), "962303")

    assert (again.code, again.json["state"]) == (0, "imported before")
    assert (elsewhere.code, around(path)) == (6, before)
    assert f"moved into company {COMPANY} already" in elsewhere.err
    assert await auth_state.load(database, COMPANY) == stored


async def test_an_import_that_died_before_its_commit_goes_on(
    terminal: Terminal, database: Database, path: Path
) -> None:
    """Sealed and not stored: the same command stores it."""
    stone = Tombstone(
        COMPANY, read_directory(path).digest, moved_name(path, "20260101T000000Z"), "", "20260101T000000Z"
    )
    seal(path, stone)

    done = await terminal.run("import-baileys", str(path), COMPANY, "--json")

    assert (done.code, done.json["state"]) == (0, "imported")
    assert (await auth_state.load(database, COMPANY)).creds is not None
    found = find_tombstone(path)
    assert found is not None
    assert found.is_done


async def test_an_import_that_died_after_its_commit_goes_on(terminal: Terminal, database: Database, path: Path) -> None:
    """Stored and sealed, but not reported: the same command reports it, and stores nothing again."""
    await terminal.run("import-baileys", str(path), COMPANY)
    stone = find_tombstone(path)
    assert stone is not None
    unseal(path, path.with_name(stone.moved_to))
    seal(path, Tombstone(COMPANY, stone.digest, stone.moved_to, stone.backup, stone.sealed_at))
    await database.execute("DELETE FROM whatsapp_keys WHERE key_type = 'tctoken'")

    done = await terminal.run("import-baileys", str(path), COMPANY, "--json")

    assert (done.code, done.json["state"]) == (0, "imported before")
    assert await database.fetchval("SELECT count(*) FROM whatsapp_keys WHERE key_type = 'tctoken'") == 0


async def test_an_import_that_died_between_two_names_goes_on(
    terminal: Terminal, database: Database, path: Path
) -> None:
    """Renamed, without a tombstone: found by its name."""
    move(path, path.with_name(moved_name(path, "20260101T000000Z")))

    done = await terminal.run("import-baileys", str(path), COMPANY, "--json")

    assert (done.code, done.json["state"]) == (0, "imported")
    assert (await auth_state.load(database, COMPANY)).creds is not None
    assert find_tombstone(path) is not None


async def test_a_sealed_directory_that_changed_is_not_imported(
    terminal: Terminal, database: Database, path: Path
) -> None:
    """It was used after it was sealed."""
    stone = Tombstone(COMPANY, "another digest", moved_name(path, "20260101T000000Z"), "", "20260101T000000Z")
    seal(path, stone)

    done = await terminal.run("import-baileys", str(path), COMPANY)

    assert done.code == 6
    assert "changed after it was sealed" in done.err
    assert (await auth_state.load(database, COMPANY)).creds is None


async def test_a_directory_in_use_is_not_imported(terminal: Terminal, database: Database, tmp_path: Path) -> None:
    """Written to a moment ago: Baileys may still run. The setting says how long ago is long enough."""
    path = b.write(tmp_path / "auth", b.directory_v7(), age_s=1.0)
    before = around(path)

    done = await terminal.run("import-baileys", str(path), COMPANY)

    assert done.code == 6
    assert "stop the Baileys that uses it" in done.err
    assert around(path) == before
    assert await is_untouched(database)


async def test_a_torn_identity_is_an_error(terminal: Terminal, database: Database, tmp_path: Path) -> None:
    """Where Baileys would begin a new one; and nothing is changed."""
    path = b.write(tmp_path / "auth", {**b.directory_v7(), "creds.json": b'{"noiseKey":{'})
    before = around(path)

    done = await terminal.run("import-baileys", str(path), COMPANY)

    assert done.code == 6
    assert "creds.json cannot be used: it is not JSON" in done.err
    assert len(done.err.splitlines()) == 1
    assert around(path) == before
    assert await is_untouched(database)


async def test_a_company_in_use_takes_nothing(terminal: Terminal, database: Database, path: Path) -> None:
    """Its daemon holds the lease: stop it first. Nothing is changed."""
    await database.write(leases.acquire, COMPANY, "daemon/1", 60.0)
    before = around(path)

    done = await terminal.run("import-baileys", str(path), COMPANY)

    assert done.code == 6
    assert "stop it first" in done.err
    assert around(path) == before
    assert (await auth_state.load(database, COMPANY)).creds is None


async def test_a_company_with_another_device_takes_nothing(terminal: Terminal, database: Database, path: Path) -> None:
    """Log it out first. Nothing is changed."""
    await _link(database, b'{"signedIdentityKey":{"public":"other"}}')
    before, stored = around(path), await auth_state.load(database, COMPANY)

    done = await terminal.run("import-baileys", str(path), COMPANY)

    assert done.code == 6
    assert "log it out first" in done.err
    assert around(path) == before
    assert await auth_state.load(database, COMPANY) == stored


async def test_an_old_copy_is_refused(terminal: Terminal, database: Database, path: Path, tmp_path: Path) -> None:
    """The company has used the device since: the copy would fork its sessions."""
    copy = b.write(tmp_path / "copy", b.directory_v7())
    await terminal.run("import-baileys", str(path), COMPANY)
    state = await auth_state.load(database, COMPANY)
    assert state.creds is not None
    await _link(database, state.creds)
    before = around(copy)

    done = await terminal.run("import-baileys", str(copy), COMPANY)

    assert done.code == 6
    assert "old copy" in done.err
    assert around(copy) == before


async def test_a_directory_moves_into_one_company(
    terminal: Terminal, database: Database, path: Path, tmp_path: Path
) -> None:
    """A copy of what another company has is refused."""
    copy = b.write(tmp_path / "copy", b.directory_v7())
    await terminal.run("import-baileys", str(path), "962303")

    done = await terminal.run("import-baileys", str(copy), COMPANY)

    assert done.code == 6
    assert "into company 962303" in done.err
    assert copy.is_dir()
    assert (await auth_state.load(database, COMPANY)).creds is None


async def test_two_imports_of_one_directory(terminal: Terminal, path: Path) -> None:
    """The second gets an error that says so."""
    with hold_directory(path):
        done = await terminal.run("import-baileys", str(path), COMPANY)

    assert done.code == 6
    assert "under way" in done.err


async def test_a_failed_commit_puts_everything_back(terminal: Terminal, database: Database, path: Path) -> None:
    """The database refuses a row: the directory is where it was, without a backup or a tombstone beside it."""
    await database.execute("ALTER TABLE whatsapp_keys ADD CHECK (key_type <> 'tctoken')")
    before = around(path)

    done = await terminal.run("import-baileys", str(path), COMPANY)

    assert done.code == 1
    assert around(path) == before
    assert await is_untouched(database)


async def test_a_connection_that_breaks_at_commit_without_it(
    terminal: Terminal, database: Database, path: Path
) -> None:
    """The server ends the connection while it commits, and nothing landed: everything is put back; try again later."""
    await database.execute(
        "CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
    )
    await database.execute(
        "CREATE CONSTRAINT TRIGGER break AFTER INSERT ON whatsapp_auth DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION break()"
    )
    before = around(path)

    done = await terminal.run("import-baileys", str(path), COMPANY)

    assert done.code == 7
    assert around(path) == before
    assert (await auth_state.load(database, COMPANY)).creds is None


async def test_a_connection_that_breaks_after_the_commit(
    terminal: Terminal, database: Database, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write landed, its reply did not: both commands check before they report, and say that it is done."""
    write = Database.write_slowly

    async def write_and_break(self: Database, *args: Any) -> None:
        await write(self, *args)
        if args[1] in {moving.take_in, moving.hand_over}:
            raise StorageUnavailable("the connection broke", in_doubt=True)

    monkeypatch.setattr(Database, "write_slowly", write_and_break)

    came = await terminal.run("import-baileys", str(path), COMPANY, "--json")
    went = await terminal.run("export-baileys", COMPANY, str(tmp_path / "out"), "--json")

    assert (came.code, came.json["state"], went.code) == (0, "imported", 0)
    assert (await auth_state.load(database, COMPANY)).creds is None
    assert read_directory(tmp_path / "out").find("creds.json") is not None


async def test_a_database_that_goes_away_at_commit(
    terminal: Terminal, database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it landed is unknown: the directory stays sealed, and the same command finds out later."""
    write, standing = Database.write_slowly, moving.standing
    is_away = False

    async def write_and_leave(self: Database, *args: Any) -> None:
        nonlocal is_away
        await write(self, *args)
        if args[1] is moving.take_in:
            is_away = True
            raise StorageUnavailable("the connection broke", in_doubt=True)

    async def standing_if_there(reader: Reader, arrival: moving.Arrival) -> moving.Standing:
        if is_away:
            raise StorageUnavailable("it is away")
        return await standing(reader, arrival)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write_slowly", write_and_leave)
        patch.setattr(moving, "standing", standing_if_there)
        patch.setattr("actors.cli.transfer._SETTLE_PAUSE_S", 0.0)
        done = await terminal.run("import-baileys", str(path), COMPANY)
    sealed = find_tombstone(path)
    then = await terminal.run("import-baileys", str(path), COMPANY, "--json")

    assert done.code == 7
    assert "stays sealed: run the same command again" in done.err
    assert sealed is not None
    assert not sealed.is_done
    assert (then.code, then.json["state"]) == (0, "imported before")


async def test_a_database_that_is_away(terminal: Terminal, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not now; nothing is changed."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://wasup:hunter2@127.0.0.1:9/wasup")
    before = around(path)

    done = await terminal.run("import-baileys", str(path), COMPANY)

    assert done.code == 7
    assert around(path) == before


async def test_what_is_no_directory(terminal: Terminal, tmp_path: Path) -> None:
    """Missing, or a file of something else."""
    (tmp_path / "file").write_text("x")

    missing = await terminal.run("import-baileys", str(tmp_path / "nowhere"), COMPANY)
    file = await terminal.run("import-baileys", str(tmp_path / "file"), COMPANY)

    assert (missing.code, file.code) == (6, 6)
    assert "is not there" in missing.err
    assert "is not a directory" in file.err


# --- out ----------------------------------------------------------------------------------------------------------------


async def test_an_export(terminal: Terminal, database: Database, path: Path, tmp_path: Path) -> None:
    """A directory for Baileys; here the state is archived, the company stopped, and its lease free."""
    await terminal.run("import-baileys", str(path), COMPANY)

    done = await terminal.run("export-baileys", COMPANY, str(tmp_path / "out"), "--json")

    made = read_directory(tmp_path / "out")
    assert done.code == 0
    assert (done.json["files"], done.json["skippedMessages"]) == (len(made.files), 12)
    assert (await auth_state.load(database, COMPANY)).creds is None
    assert not await is_wanted(database, COMPANY)
    assert await database.fetchval("SELECT owner FROM whatsapp_leases") is None
    assert await database.fetchval("SELECT reason FROM whatsapp_auth_archive") == f"{EXPORTED} {made.digest}"
    assert "out.exporting" not in names_beside(path)


async def test_out_and_in_again(terminal: Terminal, database: Database, path: Path, tmp_path: Path) -> None:
    """An exported directory can be imported, also into the company it came from."""
    await terminal.run("import-baileys", str(path), COMPANY)
    out = await terminal.run("export-baileys", COMPANY, str(tmp_path / "out"))
    _age(tmp_path / "out")

    back = await terminal.run("import-baileys", str(tmp_path / "out"), COMPANY, "--json")

    assert (out.code, back.code, back.json["state"]) == (0, 0, "imported")
    assert "must not be restored" in out.err
    assert (await auth_state.load(database, COMPANY)).creds is not None


async def test_a_company_without_a_device_is_not_exported(terminal: Terminal, tmp_path: Path) -> None:
    """And no directory is made."""
    done = await terminal.run("export-baileys", COMPANY, str(tmp_path / "out"))

    assert done.code == 6
    assert "no credentials" in done.err
    assert not (tmp_path / "out").exists()


async def test_a_running_company_is_not_exported(
    terminal: Terminal, database: Database, path: Path, tmp_path: Path
) -> None:
    """Stop it first."""
    await terminal.run("import-baileys", str(path), COMPANY)
    await database.write(leases.acquire, COMPANY, "daemon/1", 60.0)

    done = await terminal.run("export-baileys", COMPANY, str(tmp_path / "out"))

    assert done.code == 6
    assert "stop it first" in done.err
    assert not (tmp_path / "out").exists()
    assert (await auth_state.load(database, COMPANY)).creds is not None


async def test_changes_that_were_not_shipped_are_not_lost(
    terminal: Terminal, database: Database, path: Path, tmp_path: Path
) -> None:
    """The device file on this machine is newer than Postgres: its daemon was killed. An export now would be out of date."""
    await terminal.run("import-baileys", str(path), COMPANY)
    state = await auth_state.load(database, COMPANY)
    _device_file(terminal.state_dir / "devices", state, position=state.position + 3)

    done = await terminal.run("export-baileys", COMPANY, str(tmp_path / "out"))
    _device_file(terminal.state_dir / "devices", state, position=state.position)
    then = await terminal.run("export-baileys", COMPANY, str(tmp_path / "out"))

    assert done.code == 6
    assert "3 changes ahead of Postgres" in done.err
    assert then.code == 0


async def test_only_a_free_place_is_exported_to(terminal: Terminal, database: Database, path: Path) -> None:
    """The existing directory stays, and so does the company."""
    await terminal.run("import-baileys", str(path), COMPANY)

    done = await terminal.run("export-baileys", COMPANY, str(path))

    assert done.code == 6
    assert "is there already" in done.err
    assert (await auth_state.load(database, COMPANY)).creds is not None


async def test_an_export_that_died_before_its_hand_over_begins_anew(
    terminal: Terminal, database: Database, path: Path, tmp_path: Path
) -> None:
    """Its directory is of no use: the company was never handed over."""
    await terminal.run("import-baileys", str(path), COMPANY)
    b.write(tmp_path / "out.exporting", {"creds.json": b"{}"})

    done = await terminal.run("export-baileys", COMPANY, str(tmp_path / "out"))

    assert done.code == 0
    creds = read_directory(tmp_path / "out").find("creds.json")
    assert creds is not None
    assert creds.data != b"{}"
    assert not (tmp_path / "out.exporting").exists()


async def test_an_export_that_died_after_its_hand_over_is_finished(
    terminal: Terminal, database: Database, path: Path, tmp_path: Path
) -> None:
    """The directory under its other name is the device now: it gets its name."""
    await terminal.run("import-baileys", str(path), COMPANY)
    await terminal.run("export-baileys", COMPANY, str(tmp_path / "out"))
    digest = read_directory(tmp_path / "out").digest
    move(tmp_path / "out", tmp_path / "out.exporting")

    done = await terminal.run("export-baileys", COMPANY, str(tmp_path / "out"))

    assert done.code == 0
    assert read_directory(tmp_path / "out").digest == digest


async def test_a_failed_hand_over_leaves_no_directory(
    terminal: Terminal, database: Database, path: Path, tmp_path: Path
) -> None:
    """A directory that was not handed over must not be used."""
    await terminal.run("import-baileys", str(path), COMPANY)
    await database.execute("ALTER TABLE whatsapp_auth_archive ADD CHECK (reason NOT LIKE 'exported%')")

    done = await terminal.run("export-baileys", COMPANY, str(tmp_path / "out"))

    assert done.code == 1
    assert [name for name in names_beside(path) if name.startswith("out")] == []
    assert (await auth_state.load(database, COMPANY)).creds is not None
    assert await is_wanted(database, COMPANY)


async def _link(database: Database, creds: bytes) -> None:
    """Write credentials as a device file of the company's own would."""
    lease = await database.write(leases.acquire, COMPANY, "daemon/1", 60.0)
    delta = Delta(COMPANY, lease.owner, lease.epoch, "device", 1, creds, (), base=True)
    await database.write(auth_state.commit_deltas, [delta])
    await database.write(leases.release, COMPANY, lease.owner, lease.epoch)


def _age(path: Path) -> None:
    for file in path.iterdir():
        os.utime(file, (time.time() - 3600, time.time() - 3600))


def _device_file(directory: Path, state: AuthState, *, position: int) -> None:
    """As much of a device file as says how far its journal is."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{COMPANY}.db").unlink(missing_ok=True)
    with closing(sqlite3.connect(directory / f"{COMPANY}.db")) as connection, connection:
        connection.execute("CREATE TABLE wasup_meta (name TEXT PRIMARY KEY, value TEXT)")
        connection.execute("CREATE TABLE wasup_journal (seq INTEGER PRIMARY KEY AUTOINCREMENT)")
        connection.execute("INSERT INTO wasup_meta VALUES ('file_id', ?)", (state.file_id,))
        connection.execute("INSERT INTO wasup_journal VALUES (?)", (position,))
