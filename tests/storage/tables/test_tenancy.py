"""The pitfalls of row level security, each shown with and without its remedy; and the daemon's own reads as a tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any, LiteralString

import msgspec
import pytest

from storage.database.connection import Connection
from storage.database.migrate import migrate
from storage.database.pool import Database, open_database
from storage.errors import QueryFailed
from storage.tables import (
    api_keys,
    archive,
    audit,
    auth_state,
    companies,
    data_keys,
    events,
    idempotency,
    leases,
    media,
    media_keys,
    statistics,
)
from storage.tables.auth_state import Delta, KeyChange
from storage.upkeep.rotation import master_key_use
from tests.support.master_keys import vault
from tests.support.postgres import PostgresServer

A, B = "962302", "962303"
CANARY = "canary-of-b"

NOT_FORCED: LiteralString = """
    SELECT relname::text AS name FROM pg_class c
    WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND NOT (relrowsecurity AND relforcerowsecurity)
        AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND attname = 'company_id' AND NOT attisdropped)
"""
"""Tables of companies' data that let a role around their policies."""

AROUND: LiteralString = """
    SELECT relname::text AS name FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND (relkind = 'm' OR relkind = 'v'
        AND NOT coalesce(reloptions && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false))
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
"""
"""Views and functions that run with their owner's rights, and so show every company to each role that may use them."""

_roles = count(1)


async def plant(database: Database, company_id: str, text: str) -> None:
    """Store one of everything that belongs to a company, with ``text`` in it."""
    lease = await database.write(leases.acquire, company_id, "daemon-1", 60.0)
    value = msgspec.json.encode({"is": text})
    changes = (KeyChange("session", text, value), KeyChange("lid-mapping", text, value))
    delta = Delta(company_id, "daemon-1", lease.epoch, text, 1, value, changes, base=True)
    await database.write(auth_state.commit_deltas, [delta])
    await database.write(archive.archive, company_id, text, owner=lease.owner, epoch=lease.epoch)
    await database.write(auth_state.commit_deltas, [delta])
    await database.write(companies.ensure, company_id)
    await database.write(media.keep, [media.NewMedia(company_id, text, text, value)], 60.0)
    event = events.NewEvent(text, text, company_id, 1.0, value)
    await database.write(events.append, [event])
    await database.write(api_keys.create, text, [company_id])
    await database.write(audit.append, 1.0, text, text, text, text)


@pytest.fixture
async def planted(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Database]:
    """A sealed database with two companies."""
    async with open_database(postgres_dsn, size=2, vault=vault(tmp_path / "master.key", 1)) as database:
        await plant(database, A, "of-a")
        await plant(database, B, CANARY)
        yield database


@pytest.fixture
async def owned(postgres_server: PostgresServer, empty_dsn: str) -> AsyncIterator[Database]:
    """A database whose owner, which migrates and uses it, is no superuser; with a row of each company."""
    role = f"plain_owner_{next(_roles)}"
    name = empty_dsn.partition("@/")[2].partition("?")[0]
    postgres_server.run(f"CREATE ROLE {role} LOGIN")
    try:
        postgres_server.run(f"ALTER DATABASE {name} OWNER TO {role}")
        async with open_database(empty_dsn.replace("postgres@/", f"{role}@/"), size=1) as database:
            await migrate(database)
            for company_id in (A, B):
                await database.execute("INSERT INTO whatsapp_auth (company_id, creds) VALUES ($1, '{}')", company_id)
            yield database
    finally:
        postgres_server.drop_database(empty_dsn)
        postgres_server.run(f"DROP ROLE {role}")


async def seen(database: Database, table: str = "whatsapp_auth") -> list[str]:
    rows = await database.fetch(f"SELECT company_id FROM {table} ORDER BY 1")  # pyright: ignore[reportArgumentType]
    return [row["company_id"] for row in rows]


async def as_tenant(database: Database, fn: Callable[[Connection], Awaitable[Any]]) -> Any:
    """What ``fn`` returns as the tenant role of company A; None where the role is refused (42501)."""

    async def run(connection: Connection) -> Any:
        await connection.execute("SET LOCAL ROLE wasup_tenant")
        await connection.fetchval("SELECT set_config('wasup.company_id', $1, true)", A)
        return await fn(connection)

    try:
        return await database.write(run)
    except QueryFailed as error:
        if error.sqlstate != "42501":
            raise
        return None


READS: dict[str, Callable[[Connection], Awaitable[Any]]] = {
    "auth_state.load": lambda c: auth_state.load(c, B),
    "auth_state.journal_position": lambda c: auth_state.journal_position(c, B),
    "archive.load": lambda c: archive.load(c, 2),
    "data_keys.live": lambda c: data_keys.live(c, B),
    "media.find": lambda c: media.find(c, B, CANARY),
    "media_keys.for_writing": lambda c: media_keys.for_writing(c, [B]),
    "data_keys.require_master_key": data_keys.require_master_key,
    "statistics.key_statistics": statistics.key_statistics,
    "rotation.master_key_use": master_key_use,
    "companies.list_all": companies.list_all,
    "companies.find": lambda c: companies.find(c, B),
    "events.read": lambda c: events.read(c),
    "events.last_seq": events.last_seq,
    "idempotency.find": lambda c: idempotency.find(c, B, CANARY),
    "api_keys.list_all": api_keys.list_all,
    "audit.read": audit.read,
    "audit.breaks": audit.breaks,
    "the leases": lambda c: c.fetch("SELECT company_id, expires_at FROM whatsapp_leases"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_x2_no_read_of_the_daemon_gives_a_tenant_another_companys_rows(
    planted: Database, read: Callable[[Connection], Awaitable[Any]]
) -> None:
    """Each either returns nothing of company B or is refused; as the daemon each of them runs."""
    await planted.write(read)

    found = await as_tenant(planted, read)

    assert B not in repr(found)
    assert CANARY not in repr(found)


async def test_what_a_tenant_does_see_is_its_own(planted: Database) -> None:
    """Shows that the test above does not run on an empty database."""
    found = await as_tenant(planted, statistics.key_statistics)

    assert {each.company_id for each in found} == {A}
    assert {each.company_id for each in await planted.write(statistics.key_statistics)} == {A, B}


@pytest.mark.parametrize("sql", ["UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"])
async def test_x10_nobody_changes_the_audit_log(planted: Database, owned: Database, sql: str) -> None:
    """42501 for the tenant role, for the daemon as plain owner and as superuser, and the chain is whole."""
    await owned.write(audit.append, 1.0, "key", "kill", "/http", "127.0.0.1")

    for database in (planted, owned):
        with pytest.raises(QueryFailed) as caught:
            await database.execute(sql)  # pyright: ignore[reportArgumentType]
        assert caught.value.sqlstate == "42501"
        assert await audit.breaks(database) == []
        assert len(await audit.read(database)) > 0
    assert await as_tenant(planted, lambda c: c.execute(sql)) is None  # pyright: ignore[reportArgumentType]


async def test_without_force_the_owner_is_above_the_policies(owned: Database) -> None:
    """With FORCE an owner sees what a policy allows; the daemon's own policy allows everything, without it there are no rows."""
    with_policy = await seen(owned)
    await owned.execute("DROP POLICY daemon ON whatsapp_auth")
    without_policy = await seen(owned)
    await owned.execute("ALTER TABLE whatsapp_auth NO FORCE ROW LEVEL SECURITY")
    without_force = await seen(owned)

    assert (with_policy, without_policy, without_force) == ([A, B], [], [A, B])


async def test_x2_every_table_of_companies_forces_its_policies(owned: Database, database: Database) -> None:
    """The catalogue names no table that does not; it would name one."""
    assert await database.fetch(NOT_FORCED) == []
    await owned.execute("ALTER TABLE whatsapp_data_keys NO FORCE ROW LEVEL SECURITY")
    await owned.execute("CREATE TABLE forgotten (company_id TEXT)")

    assert sorted(row["name"] for row in await owned.fetch(NOT_FORCED)) == ["forgotten", "whatsapp_data_keys"]


async def test_a_view_runs_with_the_rights_of_its_owner(database: Database) -> None:
    """Unless it is declared otherwise: then it shows a tenant its own rows only. The schema has only such views."""
    assert await database.fetch(AROUND) == []
    for company_id in (A, B):
        await database.execute("INSERT INTO whatsapp_auth (company_id, creds) VALUES ($1, '{}')", company_id)
    await database.execute("CREATE VIEW leaks AS SELECT company_id FROM whatsapp_auth")
    await database.execute("CREATE VIEW tight WITH (security_invoker = true) AS SELECT company_id FROM whatsapp_auth")
    await database.execute("GRANT SELECT ON leaks, tight TO wasup_tenant")

    leaked = await as_tenant(database, lambda c: c.fetch("SELECT company_id FROM leaks ORDER BY 1"))
    kept = await as_tenant(database, lambda c: c.fetch("SELECT company_id FROM tight"))

    assert [row["company_id"] for row in leaked] == [A, B]
    assert [row["company_id"] for row in kept] == [A]
    assert [row["name"] for row in await database.fetch(AROUND)] == ["leaks"]


async def test_x3_without_nullif_the_second_transaction_of_a_connection_has_an_empty_company(postgres_dsn: str) -> None:
    """PostgreSQL resets a setting of a transaction to the empty text, not to nothing; wasup_current_company knows."""
    async with open_database(postgres_dsn, size=1) as database:

        async def current(_connection: Connection) -> tuple[Any, Any]:
            raw = await _connection.fetchval("SELECT current_setting('wasup.company_id', true)")
            return raw, await _connection.fetchval("SELECT wasup_current_company()")

        first = await database.write(current)
        within = await as_tenant(database, current)
        second = await database.write(current)

    assert (first, within, second) == ((None, None), (A, A), ("", None))


async def test_x2_the_tenant_role_is_nothing_special(database: Database) -> None:
    """Neither superuser nor above row security, no owner of anything, a member of no role, and it cannot log in."""
    role = await database.fetchrow("""
        SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication OR rolcanlogin AS special,
            (SELECT count(*) FROM pg_class WHERE relowner = r.oid) AS owned,
            (SELECT count(*) FROM pg_auth_members WHERE member = r.oid) AS memberships
        FROM pg_roles r WHERE rolname = 'wasup_tenant'
    """)

    assert role is not None
    assert (role["special"], role["owned"], role["memberships"]) == (False, 0, 0)


async def test_a_tenant_cannot_extend_a_lease(planted: Database) -> None:
    """It sees when its company's lease ends, which the clean-up needs, and no more of it than that."""
    own = await as_tenant(planted, lambda c: c.fetch("SELECT company_id, expires_at FROM whatsapp_leases"))

    assert [row["company_id"] for row in own] == [A]
    for sql in (
        "SELECT owner FROM whatsapp_leases",
        "UPDATE whatsapp_leases SET expires_at = now()",
        "DELETE FROM whatsapp_leases",
    ):
        assert await as_tenant(planted, lambda c, sql=sql: c.execute(sql)) is None  # type: ignore[misc]
