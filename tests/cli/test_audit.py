"""`wasup audit`."""

from __future__ import annotations

import pytest

from storage.database.pool import Database
from storage.tables import audit
from tests.cli.terminal import Terminal


async def test_the_audit_log_is_shown_and_verified(
    bare_terminal: Terminal, database: Database, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newest first; a record that was changed with all rights is named, and the command fails."""
    monkeypatch.setenv("DATABASE_URL", postgres_dsn)
    for n in range(5):
        await database.write(audit.append, 1_700_000_000.0 + n, "key-1", "kill", f"/companies/{n}", "127.0.0.1")

    whole = await bare_terminal.run("audit", "--limit", "2", "--json")
    table = await bare_terminal.run("audit")
    await database.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
    await database.execute("UPDATE audit_log SET target = '/http' WHERE target = '/companies/2'")
    broken = await bare_terminal.run("audit", "--json")

    assert (whole.code, table.code, broken.code) == (0, 0, 1)
    assert [record["target"] for record in whole.json["records"]] == ["/companies/4", "/companies/3"]
    assert (whole.json["breaks"], broken.json["breaks"]) == ([], [broken.json["records"][2]["id"]])
    assert len(table.lines) == 6
    assert "2023-11-14 22:13:24Z" in table.lines[1]
    assert "the chain of records is whole" in table.err
    assert "tampered with: 1 records" in broken.err
