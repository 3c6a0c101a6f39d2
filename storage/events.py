"""The event log: a growing ``seq``, replay from any point, pruning by age."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import LiteralString, final

import msgspec

from storage.connection import Connection, Reader
from storage.pool import Database

# The lock makes the order of seq the order of commits, across daemons too: without it a reader that remembers the last
# seq it saw could pass over a smaller one that is committed later. An id that is stored already (the retry of an in-
# doubt commit) keeps its seq.
_APPEND: LiteralString = """
    WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock(7283190046)),
    new AS (
        INSERT INTO whatsapp_events (id, type, company_id, occurred_at, payload)
        SELECT id, type, company_id, to_timestamp(at), payload
        FROM turn, unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::json[]) WITH ORDINALITY
            AS event (id, type, company_id, at, payload, n)
        ORDER BY n
        ON CONFLICT (id) DO NOTHING
        RETURNING id, seq
    )
    SELECT id, seq FROM new
"""
_SEQS: LiteralString = "SELECT id, seq FROM whatsapp_events WHERE id = ANY ($1)"
_READ: LiteralString = """
    SELECT seq, id, type, company_id, extract(epoch FROM occurred_at)::float8 AS timestamp, payload
    FROM whatsapp_events
    WHERE seq > $1 AND ($3::text[] IS NULL OR company_id = ANY ($3)) AND ($4::text[] IS NULL OR type = ANY ($4))
    ORDER BY seq LIMIT $2
"""
_LAST: LiteralString = "SELECT coalesce(max(seq), 0) FROM whatsapp_events"
# seq and age grow together, so the oldest batch is at the head; looking there needs no index by age.
_PRUNE: LiteralString = """
    DELETE FROM whatsapp_events WHERE seq IN (
        SELECT seq FROM (SELECT seq, stored_at FROM whatsapp_events ORDER BY seq LIMIT $2) head
        WHERE stored_at < now() - make_interval(secs => $1)
    )
"""


@final
class NewEvent(msgspec.Struct, frozen=True):
    """An event to store. ``id`` is unique for ever, ``timestamp`` in Unix seconds, ``payload`` JSON."""

    id: str
    type: str
    company_id: str
    timestamp: float
    payload: bytes


@final
class StoredEvent(msgspec.Struct, frozen=True):
    """An event of the log."""

    seq: int
    id: str
    type: str
    company_id: str
    timestamp: float
    payload: bytes


async def append(connection: Connection, events: Sequence[NewEvent]) -> list[int]:
    """Store events and return the seq of each, in their order, growing. Storing an event again (same id) answers its
    first seq."""
    ids = [event.id for event in events]
    rows = await connection.fetch(
        _APPEND,
        ids,
        [event.type for event in events],
        [event.company_id for event in events],
        [event.timestamp for event in events],
        [event.payload for event in events],
    )
    seqs: dict[str, int] = {row["id"]: row["seq"] for row in rows}
    if len(seqs) < len(events):
        seqs |= {row["id"]: row["seq"] for row in await connection.fetch(_SEQS, ids)}
    return [seqs[event_id] for event_id in ids]


async def read(
    reader: Reader,
    *,
    after: int = 0,
    limit: int = 100,
    company_ids: Collection[str] | None = None,
    types: Collection[str] | None = None,
) -> list[StoredEvent]:
    """Up to ``limit`` events with a seq above ``after``, ascending; of these companies and types only, where given."""
    rows = await reader.fetch(_READ, after, limit, _array(company_ids), _array(types))
    return [
        StoredEvent(row["seq"], row["id"], row["type"], row["company_id"], row["timestamp"], row["payload"])
        for row in rows
    ]


async def last_seq(reader: Reader) -> int:
    """The greatest seq in the log, 0 when it is empty."""
    seq: int = await reader.fetchval(_LAST)
    return seq


async def prune(db: Database, older_than_s: float, *, batch: int = 1000) -> int:
    """Delete events stored more than ``older_than_s`` ago, ``batch`` a transaction, and return how many."""
    total = 0
    while True:
        deleted = await db.write(_prune_batch, older_than_s, batch)
        total += deleted
        if deleted < batch:
            return total


async def _prune_batch(connection: Connection, older_than_s: float, batch: int) -> int:
    tag = await connection.execute(_PRUNE, older_than_s, batch)
    return int(tag.removeprefix("DELETE "))


def _array(values: Collection[str] | None) -> list[str] | None:
    return None if values is None else sorted(values)
