"""Measures queries on a table of realistic shape with very many rows."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, LiteralString

from benchmarks.storage import rows
from benchmarks.storage.rounds import Rounds
from benchmarks.storage.site import FILL_TIMEOUT_S, Site
from storage.database.connection import Connection
from storage.database.pool import Database
from storage.tables import auth_state

KEYS_A_COMPANY: Final = 1000
CHUNK: Final = 100
"""The keys of a company that lie together, as if one commit wrote them. The chunks of all companies are mixed."""
EXPIRING: Final = 10
"""One key in this many has an expiry."""
_STEP: Final = 7919
"""A prime: steps of it, modulo the number of chunks, mix the chunks and reach each once."""

# In the transaction that emptied the table, its rows do not go through the log (wal_level minimal).
_FILL: LiteralString = """
    INSERT INTO whatsapp_keys (company_id, key_type, key_id, value, expires_at)
    SELECT 'c' || mixed % $2, CASE WHEN expiring THEN 'lid-mapping' ELSE 'whatsmeow-session' END,
        (200000000000000 + mixed / $2 * $3 + number % $3) || '_1:0', $4::jsonb,
        CASE WHEN expiring THEN now() + interval '7 days' END
    FROM (
        SELECT number, number % $6 = 0 AS expiring, number / $3 * $5 % ($1 / $3) AS mixed
        FROM generate_series(0, $1 - 1) AS number
    ) AS made
"""
_ONE: LiteralString = "SELECT value FROM whatsapp_keys WHERE company_id = $1 AND key_type = $2 AND key_id = $3"
_TEN: LiteralString = (
    "SELECT key_id, value FROM whatsapp_keys WHERE company_id = $1 AND key_type = $2 AND key_id = ANY ($3)"
)
_COUNT_COMPANY: LiteralString = "SELECT count(*) FROM whatsapp_keys WHERE company_id = $1"
_COUNT: LiteralString = "SELECT count(*) FROM whatsapp_keys"
_COUNT_EXPIRED: LiteralString = "SELECT count(*) FROM whatsapp_keys WHERE expires_at <= now()"
_BYTES: LiteralString = "SELECT pg_table_size('whatsapp_keys'), pg_indexes_size('whatsapp_keys')"


@dataclass(slots=True)
class Population:
    """The figures for one number of rows."""

    rows: int
    fill_s: float
    table_bytes: int
    index_bytes: int
    times: Rounds = field(default_factory=Rounds)
    """Milliseconds, by query."""


async def measure(site: Site, number: int, rounds: int) -> Population:
    """Fill a separate database with so many rows, vacuum it as autovacuum would in time, and time the queries."""
    number -= number % KEYS_A_COMPANY
    async with site.store("plain", command_timeout_s=FILL_TIMEOUT_S) as store:
        database, began = store.database, time.perf_counter()
        await database.write(_fill, number)
        await database.execute("VACUUM (ANALYZE) whatsapp_keys")
        fill_s = time.perf_counter() - began
        sizes = await database.fetchrow(_BYTES)
        assert sizes is not None
        found = Population(number, fill_s, sizes["pg_table_size"], sizes["pg_indexes_size"])
        assert await database.fetchval(_COUNT) == number
        for round_ in range(rounds):
            await _ask(database, round_ * _STEP % (number // KEYS_A_COMPANY), found.times)
    return found


async def _fill(connection: Connection, number: int) -> None:
    companies = number // KEYS_A_COMPANY
    await connection.execute("TRUNCATE whatsapp_keys")
    await connection.execute(_FILL, number, companies, CHUNK, rows.Values()[0], _STEP, EXPIRING)


async def _ask(database: Database, company: int, times: Rounds) -> None:
    company_id = f"c{company}"
    ids = [f"{200000000000000 + number}_1:0" for number in range(1, 21) if number % EXPIRING][:10]
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "SELECT one key": partial(database.fetchval, _ONE, company_id, rows.KEY_TYPE, ids[0]),
        "SELECT ten keys": partial(database.fetch, _TEN, company_id, rows.KEY_TYPE, ids),
        f"SELECT all {KEYS_A_COMPANY} keys of a company": partial(auth_state.load, database, company_id),
        "COUNT of a company": partial(database.fetchval, _COUNT_COMPANY, company_id),
        "COUNT of expired keys": partial(database.fetchval, _COUNT_EXPIRED),
        "COUNT of all": partial(database.fetchval, _COUNT),
    }
    for name, question in questions.items():
        await times.time(name, question)
