"""P7: a database that went through every version in turn has the schema of one that is made today."""

from __future__ import annotations

from typing import LiteralString

import pytest

from storage.database.migrate import migrate, shipped
from storage.database.pool import Database, open_database
from storage.tables import auth_state, companies, leases

COMPANY = "962302"

CATALOGUE: dict[str, LiteralString] = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            pg_get_expr(d.adbin, d.adrelid), a.attgenerated, a.attidentity, a.attstorage, a.attcompression
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "relations": """
        SELECT relname, relkind, relpersistence, relrowsecurity, relforcerowsecurity, reloptions, relacl::text
        FROM pg_class WHERE relnamespace = 'public'::regnamespace
    """,
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    """,
    "triggers": "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE NOT tgisinternal",
    "functions": """
        SELECT proname, pg_get_function_identity_arguments(oid), pg_get_functiondef(oid), proacl::text
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
    """,
    "policies": "SELECT tablename, policyname, permissive, roles::text, cmd, qual, with_check FROM pg_policies",
    "identities": "SELECT sequencename, data_type::text, start_value, increment_by, max_value, cycle FROM pg_sequences",
    "migrations": "SELECT number, name, checksum FROM wasup_migrations",
}

_AS_TEXT: LiteralString = "SELECT each::text AS found FROM ("


async def catalogue(database: Database) -> dict[str, set[str]]:
    """The server's catalogues of the schema, in an order of their own."""
    return {
        name: {str(row["found"]) for row in await database.fetch(_AS_TEXT + query + ") each")}
        for name, query in CATALOGUE.items()
    }


async def test_p7_upgraded_step_by_step_it_is_the_schema_of_a_new_database(empty_dsn: str, database: Database) -> None:
    """One migration at a time, as installations meet them, and with rows of the first version: no difference in any catalogue."""
    steps = shipped()
    async with open_database(empty_dsn, size=2) as old:
        await migrate(old, steps[:1])
        await old.execute("INSERT INTO whatsapp_companies (company_id, desired) VALUES ($1, 'running')", COMPANY)
        await old.write(leases.acquire, COMPANY, "daemon-1", 30.0)
        await old.execute("INSERT INTO whatsapp_auth (company_id, creds) VALUES ($1, $2)", COMPANY, b'{"me":{}}')
        for known in range(2, len(steps) + 1):
            assert await migrate(old, steps[:known]) == [steps[known - 1].name]
        found, fresh = await catalogue(old), await catalogue(database)

        assert all(fresh.values()), "a question that finds nothing compares nothing"
        for name, rows in fresh.items():
            assert found[name] == rows, f"{name}: {sorted(found[name] ^ rows)[:4]}"
        assert await companies.find(old, COMPANY) is not None
        assert (await auth_state.load(old, COMPANY)).creds == b'{"me": {}}'
    print(f"P7: {len(steps)} migrations, no difference; {sum(map(len, fresh.values()))} catalogue rows compared")


@pytest.mark.parametrize("statement", ["ALTER TABLE webhooks ADD COLUMN n INTEGER", "DROP POLICY {policy} ON {table}"])
async def test_p7_a_difference_would_be_seen(database: Database, empty_dsn: str, statement: str) -> None:
    """An additional column, a missing policy."""
    async with open_database(empty_dsn, size=2) as other:
        await migrate(other)
        table, policy = min(
            (row["tablename"], row["policyname"])
            for row in await other.fetch("SELECT tablename, policyname FROM pg_policies")
        )
        await other.execute(_chosen(statement.format(policy=policy, table=table)))

        assert await catalogue(other) != await catalogue(database)


def _chosen(statement: str) -> LiteralString:
    return statement  # pyright: ignore[reportReturnType]
