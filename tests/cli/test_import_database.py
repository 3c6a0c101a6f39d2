"""`wasup import database` on real databases: its changes on either side, and that a refusal changes nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from storage.database.pool import Database, open_database
from storage.errors import StorageUnavailable
from storage.imports.database import sealing
from storage.tables import auth_state, leases
from storage.upkeep import transfer
from tests.cli.terminal import Terminal
from tests.support import baileys as b
from tests.support import replaced
from tests.support.postgres import PostgresServer
from tests.support.records import is_wanted
from tests.support.replaced import FORMS, FULL, Form

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
def bare(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database to import from."""
    dsn = postgres_server.create_database(migrated=False)
    yield dsn
    postgres_server.drop_database(dsn)


@pytest.fixture
def source(bare: str) -> str:
    """The replaced system's database with one company."""
    replaced.create(bare)
    replaced.fill(bare, COMPANY, b.directory_v7())
    return bare


async def is_untouched(database: Database) -> bool:
    """No state, no company and no owner."""
    state = await auth_state.load(database, COMPANY)
    owner = await database.fetchval("SELECT owner FROM whatsapp_leases WHERE company_id = $1", COMPANY)
    return state.creds is None and not state.keys and owner is None and not await is_wanted_or_known(database)


async def is_wanted_or_known(database: Database) -> bool:
    """Whether there is a record of the company."""
    return bool(await database.fetchval("SELECT count(*) FROM whatsapp_companies WHERE company_id = $1", COMPANY))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
async def test_a_company_moves_in_from_every_form_of_the_tables(
    terminal: Terminal, database: Database, bare: str, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All keys arrive, its credentials in the old database name their destination, and it is recorded as running."""
    monkeypatch.setenv("WASUP_STORAGE_IMPORT_QUIET_S", "0.1" if not form.has_times else "10")
    replaced.create(bare, form)
    replaced.fill(bare, COMPANY, b.directory_v7(), form)

    done = await terminal.run("import", "database", bare, COMPANY, "--json")

    assert done.code == 0, done.out + done.err
    (company,) = done.json["companies"]
    assert company["state"] == "imported"
    assert company["report"]["moved"] == {
        "creds": 1, "pre-key": 4, "session": 3, "sender-key": 3, "app-state-sync-key": 1, "lid-mapping": 2, "tctoken": 1,
        "identity-key": 4,
    }  # fmt: skip
    state = await auth_state.load(database, COMPANY)
    assert len(state.keys) == sum(company["report"]["moved"].values()) - 1
    assert await is_wanted(database, COMPANY)
    there = json.loads(replaced.run(bare, f"SELECT {form.creds}::text FROM whatsapp_auth"))
    assert there["movedIntoWasup"] is True
    assert replaced.run(bare, "SELECT is_done FROM wasup_moved") is True


@pytest.mark.parametrize("form", b.FORMS)
async def test_bytes_are_read_in_every_form(terminal: Terminal, bare: str, form: str) -> None:
    """Arrays of numbers, base64, objects with numeric keys and the older marks: all keys arrive."""
    replaced.create(bare)
    replaced.fill(bare, COMPANY, b.directory_v7(b.FORMS[form]))

    done = await terminal.run("import", "database", bare, COMPANY, "--dry-run", "--json")

    assert done.code == 0, done.out + done.err
    assert done.json["companies"][0]["report"]["left"] == {"not needed": 4}


async def test_a_reverse_mapping_may_have_a_type_of_its_own(terminal: Terminal, bare: str) -> None:
    """``lid-mapping-reverse`` is the other direction of ``lid-mapping``."""
    replaced.create(bare)
    replaced.fill(bare, COMPANY, b.directory_v7())
    replaced.run(
        bare,
        "UPDATE whatsapp_keys SET key_type = 'lid-mapping-reverse', key_id = replace(key_id, '_reverse', '') WHERE key_id LIKE '%_reverse'",
    )

    done = await terminal.run("import", "database", bare, COMPANY, "--dry-run", "--json")

    assert done.json["companies"][0]["report"]["moved"]["lid-mapping"] == 2
    assert "contradicted" not in done.json["companies"][0]["report"]["left"]


async def test_expired_keys_stay_behind(terminal: Terminal, source: str) -> None:
    """Keys that the old system had given up and not yet removed are not brought back."""
    replaced.run(source, "UPDATE whatsapp_keys SET expires_at = now() - interval '1 s' WHERE key_type = 'tctoken'")

    done = await terminal.run("import", "database", source, COMPANY, "--dry-run", "--json")

    report = done.json["companies"][0]["report"]
    assert "tctoken" not in report["moved"]
    assert report["left"]["expired"] == 2


@pytest.mark.parametrize("way", ["--dry-run", "--rehearse"])
async def test_looking_and_rehearsing_change_nothing(
    terminal: Terminal, database: Database, source: str, way: str
) -> None:
    """The report is the real one, and both databases are as they were."""
    before = replaced.dump(source)

    done = await terminal.run("import", "database", source, "--all", way, "--json")

    assert done.code == 0, done.out + done.err
    assert [one["state"] for one in done.json["companies"]] == ["checked" if way == "--dry-run" else "rehearsed"]
    assert replaced.dump(source) == before
    assert await is_untouched(database)


async def test_a_second_run_finds_nothing_to_do(terminal: Terminal, database: Database, source: str) -> None:
    """It says that the company is here, and writes nothing."""
    await terminal.run("import", "database", source, COMPANY)
    state = await auth_state.load(database, COMPANY)

    again = await terminal.run("import", "database", source, COMPANY, "--json")

    assert again.code == 0, again.err
    assert again.json["companies"][0]["state"] == "imported before"
    assert await auth_state.load(database, COMPANY) == state


async def test_one_that_is_refused_keeps_no_other_from_moving(
    terminal: Terminal, database: Database, source: str
) -> None:
    """With --all the whole ones move; the command ends as refused and says which and why."""
    replaced.fill(source, "1", {"creds.json": {"me": {"id": "torn"}}})

    done = await terminal.run("import", "database", source, "--all", "--json")

    assert done.code == 6
    assert {one["companyId"]: one["state"] for one in done.json["companies"]} == {"1": "refused", COMPANY: "imported"}
    assert await is_wanted(database, COMPANY)


# --- refusals: nothing changes on either side ---


def _written_just_now(dsn: str) -> None:
    replaced.run(dsn, "UPDATE whatsapp_keys SET updated_at = now() WHERE key_id = '8'")


def _view(dsn: str) -> None:
    replaced.run(dsn, "ALTER TABLE whatsapp_keys RENAME TO hidden; CREATE VIEW whatsapp_keys AS SELECT * FROM hidden")


def _no_creds_column(dsn: str) -> None:
    replaced.run(dsn, "ALTER TABLE whatsapp_auth RENAME creds TO secret")


def _wrong_length(dsn: str) -> None:
    replaced.run(
        dsn,
        """UPDATE whatsapp_auth SET creds = jsonb_set(creds, '{noiseKey,private}', '{"type":"Buffer","data":"AAEC"}')""",
    )


def _bad_signature(dsn: str) -> None:
    replaced.run(
        dsn,
        "UPDATE whatsapp_auth SET creds = jsonb_set(creds, '{signedPreKey,signature,data}', to_jsonb(repeat('A', 86) || '=='))",
    )


def _no_row(dsn: str) -> None:
    replaced.run(dsn, "DELETE FROM whatsapp_auth")


def _deep(dsn: str) -> None:
    replaced.run(dsn, f"UPDATE whatsapp_auth SET creds = '{'[' * 900}{']' * 900}'")


REFUSALS = [
    (_written_just_now, "stop the program"),
    (_view, "no table but a view"),
    (_no_creds_column, "no column creds or"),
    (_wrong_length, "3 bytes where 32 were expected"),
    (_bad_signature, "its signature is not the identity key's"),
    (_no_row, "no credentials"),
    (_deep, "cannot be used"),
]


@pytest.mark.parametrize(("spoil", "sentence"), REFUSALS, ids=lambda one: getattr(one, "__name__", ""))
async def test_a_refusal_is_in_words_and_changes_nothing(
    terminal: Terminal, database: Database, source: str, spoil: Any, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is named, and both databases are as they were."""
    if spoil is not _written_just_now:
        monkeypatch.setenv("WASUP_STORAGE_IMPORT_QUIET_S", "0")
    spoil(source)
    before = replaced.dump(source)

    done = await terminal.run("import", "database", source, COMPANY)

    assert done.code == 6
    assert sentence in done.out + done.err
    assert replaced.dump(source) == before
    assert await is_untouched(database)


async def test_a_schema_without_the_tables_is_named(terminal: Terminal, source: str) -> None:
    """Which tables are missing where, and how to name another schema."""
    done = await terminal.run("import", "database", source, "--all", "--source-schema", "elsewhere")

    assert done.code == 6
    assert "no table whatsapp_auth and no whatsapp_keys in the schema elsewhere" in done.err


async def test_another_programs_tables_are_found_out_by_migrate(
    terminal: Terminal, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DATABASE_URL leads to the replaced system's own database: the error says whose tables they are and what to do; nothing is changed."""
    before = replaced.dump(source)
    monkeypatch.setenv("DATABASE_URL", source)

    done = await terminal.run("migrate")

    assert done.code == 1
    assert "another program's" in done.err
    assert "wasup import database" in done.err
    assert replaced.dump(source) == before
    assert replaced.run(source, "SELECT to_regclass('wasup_migrations')::text") is None


async def test_a_company_moves_within_one_database(
    terminal: Terminal, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """wasup's tables lie in a schema of their own beside the old ones."""
    replaced.run(source, "CREATE SCHEMA wasup")
    monkeypatch.setenv("DATABASE_URL", f"{source}&options=-csearch_path%3Dwasup")

    done = await terminal.run("import", "database", source, COMPANY, "--json")

    assert done.code == 0, done.out + done.err
    assert done.json["companies"][0]["state"] == "imported"
    assert replaced.run(source, "SELECT count(*) FROM wasup.whatsapp_auth") == 1
    assert "movedIntoWasup" in replaced.run(source, "SELECT creds::text FROM public.whatsapp_auth")


async def test_wasups_own_tables_are_not_taken_in(terminal: Terminal, postgres_dsn: str) -> None:
    """Its database has tables of these names: it says whose they are."""
    done = await terminal.run("import", "database", postgres_dsn, "--all")

    assert done.code == 6
    assert "wasup's own" in done.err


async def test_rows_that_policies_hide_are_not_taken_for_none(
    terminal: Terminal, database: Database, source: str, postgres_server: PostgresServer
) -> None:
    """A role that sees only a part under row security is refused: half an auth state is a broken one."""
    replaced.run(source, "CREATE ROLE reader LOGIN; GRANT SELECT ON whatsapp_auth, whatsapp_keys TO reader")
    try:
        done = await terminal.run("import", "database", _as_role(source, "reader"), "--all", "--dry-run")
    finally:
        replaced.run(source, "DROP OWNED BY reader; DROP ROLE reader")

    assert done.code == 6, done.out + done.err
    assert "row-level security" in done.err + done.out
    assert await is_untouched(database)


def _as_role(dsn: str, role: str) -> str:
    scheme, _, rest = dsn.partition("://")
    return f"{scheme}://{role}@{rest.partition('@')[2]}"


async def test_a_company_in_use_here_is_refused(terminal: Terminal, database: Database, source: str) -> None:
    """Another owner holds its lease: nothing is sealed."""
    await database.write(leases.acquire, COMPANY, "daemon/boot", 60.0)
    before = replaced.dump(source)

    done = await terminal.run("import", "database", source, COMPANY)

    assert done.code == 6
    assert "in use" in done.out
    assert replaced.dump(source) == before


# --- failures on the way ---


async def test_a_failure_before_the_commit_unseals(
    terminal: Terminal, database: Database, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The credentials there are the old ones again, and the archive has nothing of the company."""
    creds = replaced.run(source, "SELECT creds::text FROM whatsapp_auth")

    async def fail(*_args: object) -> None:
        raise StorageUnavailable("gone")

    monkeypatch.setattr(transfer, "take_in", fail)
    done = await terminal.run("import", "database", source, COMPANY)

    assert done.code == 7
    assert replaced.run(source, "SELECT creds::text FROM whatsapp_auth") == creds
    assert replaced.run(source, "SELECT count(*) FROM wasup_moved") == 0
    assert await is_untouched(database)


async def test_a_crash_after_the_seal_is_finished_by_the_same_command(
    terminal: Terminal, database: Database, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device has no owner then; whatever became of the keys there, the archive has all of it."""
    whole = await terminal.run("import", "database", source, COMPANY, "--dry-run", "--json")

    async def die(*_args: object) -> None:
        raise StorageUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(transfer, "take_in", die)
        patch.setattr(sealing, "unseal", die)
        first = await terminal.run("import", "database", source, COMPANY)
    assert first.code == 7
    assert "movedIntoWasup" in replaced.run(source, "SELECT creds::text FROM whatsapp_auth")
    replaced.run(source, "DELETE FROM whatsapp_keys")

    done = await terminal.run("import", "database", source, COMPANY, "--json")

    assert done.code == 0, done.out + done.err
    assert done.json["companies"][0]["state"] == "imported"
    assert done.json["companies"][0]["digest"] == whole.json["companies"][0]["digest"]
    assert await is_wanted(database, COMPANY)


def test_the_full_form_is_the_replaced_systems() -> None:
    """The first form is the one that most tests use."""
    assert FORMS[0] is FULL
