"""storage/tables/expiry.py and storage/tables/statistics.py: what expires, what must not, and what is stored."""

from __future__ import annotations

from storage.database.pool import Database
from storage.tables import auth_state, leases
from storage.tables.auth_state import Delta, KeyChange
from storage.tables.expiry import KeysSwept, sweep_keys
from storage.tables.statistics import key_statistics

A, B = "962302", "962303"


def put(key_type: str, key_id: str) -> KeyChange:
    return KeyChange(key_type, key_id, b'"900000000000001"')


async def run_session(database: Database, company_id: str, *changes: KeyChange, creds: bytes = b"{}") -> None:
    """Have a company own a lease, as a running session does, and store these keys."""
    await database.write(leases.acquire, company_id, "daemon-1", 60.0)
    delta = Delta(company_id, "daemon-1", 1, "file-1", 1, creds, changes, base=True)
    await database.write(auth_state.commit_deltas, [delta])


async def end_session(database: Database, company_id: str) -> None:
    await database.write(leases.release, company_id, "daemon-1", 1)


async def age(database: Database, interval: str) -> None:
    """Let time pass for every LID mapping."""
    await database.execute(
        "UPDATE whatsapp_keys SET expires_at = expires_at - $1::text::interval WHERE key_type = 'lid-mapping'", interval
    )


async def ids(database: Database, company_id: str) -> list[str]:
    return sorted(key for _, key, _ in (await auth_state.load(database, company_id)).keys)


async def test_expired_keys_of_a_company_at_rest_are_deleted(database: Database) -> None:
    """They are not loaded any more, and the sweep deletes them and no others."""
    await run_session(database, A, put("session", "k"), put("lid-mapping", "1"))
    await end_session(database, A)
    await age(database, "8 days")

    assert await ids(database, A) == ["k"]
    assert await sweep_keys(database) == KeysSwept(refreshed=0, deleted=1)
    assert await sweep_keys(database) == KeysSwept(refreshed=0, deleted=0)
    assert await database.fetchval("SELECT count(*) FROM whatsapp_keys") == 1


async def test_what_a_running_session_needs_is_refreshed(database: Database) -> None:
    """A mapping that was not written for half a week gets another week, long before it would be missing."""
    await run_session(database, A, put("lid-mapping", "1"))
    await age(database, "4 days")

    assert await sweep_keys(database) == KeysSwept(refreshed=1, deleted=0)
    assert await sweep_keys(database) == KeysSwept(refreshed=0, deleted=0)
    await age(database, "6 days")

    assert await ids(database, A) == ["1"]


async def test_a_sweep_that_comes_too_late_deletes_nothing_of_a_running_session(database: Database) -> None:
    """A mapping that has expired meanwhile is still in the session's device file: it is refreshed."""
    await run_session(database, A, put("lid-mapping", "1"))
    await run_session(database, B, put("lid-mapping", "1"))
    await end_session(database, B)
    await age(database, "30 days")

    assert await sweep_keys(database) == KeysSwept(refreshed=1, deleted=1)
    assert (await ids(database, A), await ids(database, B)) == (["1"], [])


async def test_the_clean_up_alone_never_deletes_what_a_running_session_needs(database: Database) -> None:
    """A call of cleanup_expired_whatsapp_keys by itself, with no refresh before it, does no harm either."""
    await run_session(database, A, put("lid-mapping", "1"))
    await age(database, "30 days")

    assert await database.fetchval("SELECT cleanup_expired_whatsapp_keys()") == 0
    await end_session(database, A)
    assert await database.fetchval("SELECT cleanup_expired_whatsapp_keys()") == 1


async def test_sweeps_go_by_batches(database: Database) -> None:
    """Each transaction takes a limited number of rows, and progress is reported for each."""
    await run_session(database, A, *(put("lid-mapping", str(n)) for n in range(5)))
    await run_session(database, B, *(put("lid-mapping", str(n)) for n in range(3)))
    await end_session(database, B)
    await age(database, "8 days")
    batches: list[int] = []

    assert await sweep_keys(database, 2, progress=batches.append) == KeysSwept(refreshed=5, deleted=3)
    assert batches == [2, 2, 1, 2, 1]


async def test_a_new_device_file_begins_without_expired_keys(database: Database) -> None:
    """A mapping that was not loaded into a rebuilt file is not refreshed by the next sweep."""
    await run_session(database, A, put("session", "k"), put("lid-mapping", "1"))
    await age(database, "8 days")
    rebuilt = Delta(A, "daemon-1", 1, "file-2", 1, None, (put("lid-mapping", "2"),), base=True)

    await database.write(auth_state.commit_deltas, [rebuilt])

    assert await sweep_keys(database) == KeysSwept(refreshed=0, deleted=0)
    assert await database.fetchval("SELECT array_agg(key_id ORDER BY key_id) FROM whatsapp_keys") == ["2", "k"]


async def test_statistics_by_company_and_type(database: Database) -> None:
    """Totals, expired keys and bytes are listed by company and type; credentials are a type of their own."""
    await run_session(database, A, put("session", "a"), put("session", "b"), put("lid-mapping", "1"))
    await age(database, "8 days")

    found = await key_statistics(database)

    assert [(s.company_id, s.key_type, s.total, s.expired, s.sealed) for s in found] == [
        (A, "creds", 1, 0, 0), (A, "lid-mapping", 1, 1, 0), (A, "session", 2, 0, 0),
    ]  # fmt: skip
    assert all(s.bytes > 0 for s in found)
