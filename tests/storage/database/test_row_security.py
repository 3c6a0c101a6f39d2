"""Row level security of the schema: the rows that the tenant role sees, and that ways around it are closed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import pytest

from storage.database.connection import Connection
from storage.database.pool import Database, open_database
from storage.errors import QueryFailed

A, B = "962302", "962303"


async def plant(database: Database) -> None:
    """One credential and one key for each of two companies."""
    for company_id in (A, B):
        await database.execute("INSERT INTO whatsapp_auth (company_id, creds) VALUES ($1, '{}')", company_id)
        await database.execute(
            "INSERT INTO whatsapp_keys (company_id, key_type, key_id, value, expires_at) VALUES ($1, 'session', 'k', '{}', now())",
            company_id,
        )


async def as_tenant(database: Database, company_id: str | None, sql: str, *args: object) -> list[Any]:
    """The first column of what the tenant role gets for the statement, in a transaction of the company."""

    async def run(connection: Connection) -> list[Any]:
        await connection.execute("SET LOCAL ROLE wasup_tenant")
        if company_id is not None:
            await connection.fetchval("SELECT set_config('wasup.company_id', $1, true)", company_id)
        rows = await connection.fetch(sql, *args)  # pyright: ignore[reportArgumentType]
        return [next(iter(cast("Iterable[Any]", row))) for row in rows]

    return await database.write(run)


@pytest.mark.parametrize("table", ["whatsapp_auth", "whatsapp_keys"])
async def test_a_tenant_sees_its_own_rows(database: Database, table: str) -> None:
    """With its company set, the tenant role sees, changes and deletes rows of that company only."""
    await plant(database)

    assert await as_tenant(database, A, f"SELECT company_id FROM {table}") == [A]
    assert await as_tenant(database, A, f"UPDATE {table} SET updated_at = now() RETURNING company_id") == [A]
    assert await as_tenant(database, A, f"DELETE FROM {table} RETURNING company_id") == [A]
    assert await as_tenant(database, B, f"SELECT company_id FROM {table}") == [B]


@pytest.mark.parametrize("table", ["whatsapp_auth", "whatsapp_keys"])
async def test_x3_no_company_is_no_rows(postgres_dsn: str, table: str) -> None:
    """Unset, empty, or empty on a connection used before: no rows, and no error."""
    async with open_database(postgres_dsn, size=1) as database:  # one connection, so that it is the one used before
        await plant(database)

        assert await as_tenant(database, None, f"SELECT company_id FROM {table}") == []
        assert await as_tenant(database, A, f"SELECT company_id FROM {table}") == [A]
        assert await as_tenant(database, None, f"SELECT company_id FROM {table}") == []
        assert await as_tenant(database, "", f"SELECT company_id FROM {table}") == []


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO whatsapp_auth (company_id, creds) VALUES ('962304', '{}')",
        "INSERT INTO whatsapp_keys (company_id, key_type, key_id, value) VALUES ('962304', 's', 'k', '{}')",
        "UPDATE whatsapp_keys SET company_id = '962303'",
        # An existing row of another company: a unique violation would show that it exists.
        "INSERT INTO whatsapp_auth (company_id, creds) VALUES ('962303', '{}')",
        "INSERT INTO whatsapp_keys (company_id, key_type, key_id, value) VALUES ('962303', 'session', 'k', '{}')",
    ],
)
async def test_a_tenant_writes_for_itself_only(database: Database, sql: str) -> None:
    """Writing a row of another company is refused in the same words whether that row exists or not."""
    await plant(database)

    with pytest.raises(QueryFailed, match="row-level security") as caught:
        await as_tenant(database, A, sql)

    assert caught.value.sqlstate == "42501"


async def test_functions_give_nothing_away(database: Database) -> None:
    """Statistics and clean-up called by a tenant are about its own rows."""
    await plant(database)

    assert set(await as_tenant(database, A, "SELECT * FROM get_whatsapp_auth_stats()")) == {A}
    assert await as_tenant(database, A, "SELECT cleanup_expired_whatsapp_keys()") == [1]
    assert await as_tenant(database, B, "SELECT count(*) FROM whatsapp_keys") == [1]


@pytest.mark.parametrize(
    "table",
    ["whatsapp_journal", "whatsapp_auth_archive", "whatsapp_companies", "whatsapp_leases", "whatsapp_events",
     "idempotency", "api_keys", "audit_log", "wasup_migrations"],
)  # fmt: skip
async def test_other_tables_are_closed(database: Database, table: str) -> None:
    """The tenant role has no right to anything but the two tables of auth state."""
    with pytest.raises(QueryFailed, match="permission denied"):
        await as_tenant(database, A, f"SELECT * FROM {table}")


async def test_every_table_forces_row_security(database: Database) -> None:
    """No table exempts its owner from its policies, and the tenant role has no special rights."""
    unforced = await database.fetch("""
        SELECT relname FROM pg_class
        WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND NOT (relrowsecurity AND relforcerowsecurity)
    """)
    role = await database.fetchrow("""
        SELECT rolsuper, rolbypassrls, rolcanlogin, rolcreaterole,
            (SELECT count(*) FROM pg_class WHERE relowner = pg_roles.oid) AS owned
        FROM pg_roles WHERE rolname = 'wasup_tenant'
    """)

    assert unforced == []
    assert role is not None
    assert [role[name] for name in ("rolsuper", "rolbypassrls", "rolcanlogin", "rolcreaterole", "owned")] == [
        False
    ] * 4 + [0]
