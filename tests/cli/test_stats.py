"""`wasup stats` and `wasup cleanup`: the database, with or without a running daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.database.pool import Database, open_database
from storage.tables import archive, auth_state, leases
from storage.tables.auth_state import Delta, KeyChange
from tests.cli.terminal import Terminal
from tests.support.master_keys import key_id, vault

A, B, GONE = "962302", "962303", "962304"


@pytest.fixture
def terminal_(bare_terminal: Terminal, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal with the database."""
    monkeypatch.setenv("DATABASE_URL", postgres_dsn)
    return bare_terminal


async def link(database: Database, company_id: str) -> None:
    """Credentials, two sessions and a LID mapping."""
    await database.write(leases.acquire, company_id, "daemon-1", 60.0)
    changes = tuple(KeyChange(*name, b'"1"') for name in (("session", "a"), ("session", "b"), ("lid-mapping", "1")))
    delta = Delta(company_id, "daemon-1", 1, "file-1", 1, b"{}", changes, base=True)
    await database.write(auth_state.commit_deltas, [delta])


async def test_stats(terminal_: Terminal, postgres_dsn: str, database: Database, tmp_path: Path) -> None:
    """Totals for each company and type, what has expired, how much is sealed and by which master key."""
    await link(database, A)
    async with open_database(postgres_dsn, size=1, vault=vault(tmp_path / "master.key", 1)) as sealing:
        await link(sealing, B)
    await database.execute(
        "UPDATE whatsapp_keys SET expires_at = now() WHERE expires_at IS NOT NULL AND company_id = $1", A
    )

    told = await terminal_.run("stats", "--json")
    of_one = await terminal_.run("stats", "--json", "--company", B)
    table = await terminal_.run("stats")

    assert (told.code, of_one.code, table.code) == (0, 0, 0)
    rows = [(k["companyId"], k["keyType"], k["total"], k["expired"], k["sealed"]) for k in told.json["keys"]]
    assert rows == [
        (A, "creds", 1, 0, 0), (A, "lid-mapping", 1, 1, 0), (A, "session", 2, 0, 0),
        (B, "creds", 1, 0, 1), (B, "lid-mapping", 1, 0, 1), (B, "session", 2, 0, 2),
    ]  # fmt: skip
    totals = told.json["totals"]
    assert (totals["companies"], totals["total"], totals["expired"], totals["sealed"]) == (2, 8, 1, 4)
    assert totals["bytes"] == sum(k["bytes"] for k in told.json["keys"]) > 0
    assert told.json["masterKeys"] == [{"masterKey": key_id(1), "live": 1, "archived": 0}]
    assert {k["companyId"] for k in of_one.json["keys"]} == {B}
    assert table.lines[0].split() == ["COMPANY", "TYPE", "KEYS", "EXPIRED", "SEALED", "BYTES"]
    assert table.lines[1].split()[:3] == [A, "creds", "1"]
    assert f"2 companies, 8 values, {totals['bytes']} bytes, 1 expired, 4 sealed" in table.out


async def test_stats_of_nothing(terminal_: Terminal) -> None:
    """An empty database is no error."""
    ended = await terminal_.run("stats", "--json")

    assert (ended.code, ended.json["totals"]["companies"], ended.json["keys"]) == (0, 0, [])


async def test_cleanup(terminal_: Terminal, database: Database) -> None:
    """Expired keys of companies at rest and old archives are deleted; a running session's mapping gets another week; the second time
    there is nothing to do."""
    for company_id in (A, B, GONE):
        await link(database, company_id)
    await database.write(leases.release, B, "daemon-1", 1)
    await database.write(archive.archive, GONE, "deleted", owner="daemon-1", epoch=1)
    await database.execute("UPDATE whatsapp_auth_archive SET archived_at = now() - interval '91 days'")
    await database.execute("UPDATE whatsapp_keys SET expires_at = now() WHERE expires_at IS NOT NULL")

    first = await terminal_.run("cleanup", "--json")
    second = await terminal_.run("cleanup")

    assert (first.code, second.code) == (0, 0)
    assert first.json == {
        "keys": 1, "refreshed": 1, "events": 0, "idempotency": 0, "dead_letters": 0, "media": 0, "archives": 1,
        "sealed_files": 0, "erased": 0,
    }  # fmt: skip
    assert second.lines == [
        "deleted 0 expired keys, 0 old events, 0 old answers, 0 old dead letters of webhooks, "
        "0 old credentials out of use; "
        "refreshed 0 keys of running sessions"
    ]
    assert [key for _, key, _ in (await auth_state.load(database, A)).keys if key == "1"] == ["1"]
    assert [key for _, key, _ in (await auth_state.load(database, B)).keys if key == "1"] == []


@pytest.mark.parametrize("command", ["stats", "cleanup", "rotate-key"])
async def test_a_database_that_is_away(
    bare_terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    """Exit code 7: try again later."""
    vault(tmp_path / "master.key", 1)
    monkeypatch.setenv("WASUP_MASTER_KEY_FILE", str(tmp_path / "master.key"))
    monkeypatch.setenv("DATABASE_URL", "postgresql://wasup:hunter2@127.0.0.1:9/wasup")

    ended = await bare_terminal.run(command)

    assert ended.code == 7
    assert "the database is unavailable" in ended.err
    assert "hunter2" not in ended.err
