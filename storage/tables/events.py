"""The event log: a ``seq`` that grows by one, replay from any point, pruning by age."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import LiteralString, final

import msgspec

from storage.database.batches import BATCH_ROWS, count_of, in_batches
from storage.database.connection import Connection, Reader, milliseconds
from storage.database.pool import Database

# The lock on the counter's row, held until the commit, makes the order of seq the order of commits, across daemons too.
# Without it a reader that remembers the last seq could miss a smaller one that is committed later. The lock is taken in
# its own statement, so that the next statement sees what its previous holder committed. An id that is stored already
# (the retry of an in-doubt commit) keeps its seq.
_LOCK: LiteralString = "SELECT last FROM whatsapp_event_counter FOR NO KEY UPDATE"
_APPEND: LiteralString = """
    WITH fresh AS MATERIALIZED (
        SELECT event.*, row_number() OVER (ORDER BY n) AS place
        FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::json[]) WITH ORDINALITY
            AS event (id, type, company_id, at, payload, n)
        WHERE NOT EXISTS (SELECT FROM whatsapp_events stored WHERE stored.id = event.id)
    ),
    counted AS (UPDATE whatsapp_event_counter SET last = last + (SELECT count(*) FROM fresh) WHERE EXISTS (SELECT FROM fresh)),
    new AS (
        INSERT INTO whatsapp_events (seq, id, type, company_id, occurred_at, payload)
        SELECT counter.last + place, id, type, company_id, to_timestamp(at), payload
        FROM fresh, whatsapp_event_counter counter
        RETURNING id, seq
    )
    SELECT id, seq FROM new
"""
# The same by one statement outside a transaction, for events none of which is stored. It waits for the counter's row as
# `_LOCK` does, and counts from what the previous holder committed. It does not see whether that holder stored the same
# ids, but their index does. The setting is made before the row is locked, since the row comes out of the join with it;
# it ends with the statement.
_APPEND_AT_ONCE: LiteralString = """
    WITH patience AS MATERIALIZED (SELECT set_config('lock_timeout', $1, true)),
    counted AS (
        UPDATE whatsapp_event_counter SET last = last + cardinality($2::text[])
        FROM patience
        WHERE NOT EXISTS (SELECT FROM whatsapp_events stored WHERE stored.id = ANY ($2::text[]))
        RETURNING last - cardinality($2::text[]) AS before
    )
    INSERT INTO whatsapp_events (seq, id, type, company_id, occurred_at, payload)
    SELECT before + n, id, type, company_id, to_timestamp(at), payload
    FROM counted, unnest($2::text[], $3::text[], $4::text[], $5::float8[], $6::json[]) WITH ORDINALITY
        AS event (id, type, company_id, at, payload, n)
    RETURNING seq
"""
_SEQS: LiteralString = "SELECT id, seq FROM whatsapp_events WHERE id = ANY ($1)"
_READ: LiteralString = """
    SELECT seq, id, type, company_id, extract(epoch FROM occurred_at)::float8 AS timestamp, payload
    FROM whatsapp_events
    WHERE seq > $1 AND ($3::text[] IS NULL OR company_id = ANY ($3)) AND ($4::text[] IS NULL OR type = ANY ($4))
    ORDER BY seq LIMIT $2
"""
_READ_LATEST: LiteralString = """
    SELECT * FROM (
        SELECT seq, id, type, company_id, extract(epoch FROM occurred_at)::float8 AS timestamp, payload
        FROM whatsapp_events
        WHERE seq > $1 AND ($3::text[] IS NULL OR company_id = ANY ($3)) AND ($4::text[] IS NULL OR type = ANY ($4))
        ORDER BY seq DESC LIMIT $2
    ) AS latest ORDER BY seq
"""
_LAST: LiteralString = "SELECT last FROM whatsapp_event_counter"
# seq and age grow together, so the oldest batch is at the head and no index by age is needed.
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
    """Store events and return the seq of each, in their order, growing by one from event to event. An event that is
    stored already (same id) keeps its first seq."""
    ids = [event.id for event in events]
    once = {event.id: event for event in reversed(events)}
    new = [event for event in events if once[event.id] is event]
    await connection.fetchval(_LOCK)
    rows = await connection.fetch(_APPEND, *_columns(new))
    seqs: dict[str, int] = {row["id"]: row["seq"] for row in rows}
    if len(seqs) < len(new):
        seqs |= {row["id"]: row["seq"] for row in await connection.fetch(_SEQS, ids)}
    return [seqs[event_id] for event_id in ids]


async def append_single_statement(
    connection: Connection, events: Sequence[NewEvent], lock_timeout_s: float
) -> list[int] | None:
    """Like `append`, by one statement, for events with different ids; on a connection outside any transaction.

    Return None when one of them is stored already: nothing was written. `QueryFailed` when another writer stored one at
    the same moment.
    """
    rows = await connection.fetch(_APPEND_AT_ONCE, str(milliseconds(lock_timeout_s)), *_columns(events))
    return sorted(row["seq"] for row in rows) or None


def _columns(events: Sequence[NewEvent]) -> list[list[object]]:
    names = ("id", "type", "company_id", "timestamp", "payload")
    return [[getattr(event, name) for event in events] for name in names]


async def read(
    reader: Reader,
    *,
    after: int = 0,
    limit: int = 100,
    company_ids: Collection[str] | None = None,
    types: Collection[str] | None = None,
    latest: bool = False,
) -> list[StoredEvent]:
    """Return up to ``limit`` events with a seq above ``after``, the first or the ``latest`` of them, ascending; only
    those of the given companies and types."""
    rows = await reader.fetch(_READ_LATEST if latest else _READ, after, limit, _array(company_ids), _array(types))
    return [
        StoredEvent(row["seq"], row["id"], row["type"], row["company_id"], row["timestamp"], row["payload"])
        for row in rows
    ]


async def last_seq(reader: Reader) -> int:
    """Return the last seq given out, 0 before the first; also when that event is pruned."""
    seq: int = await reader.fetchval(_LAST)
    return seq


async def prune(db: Database, older_than_s: float, *, batch: int = BATCH_ROWS) -> int:
    """Delete events stored more than ``older_than_s`` ago, ``batch`` a transaction, and return how many."""
    return await in_batches(db, lambda connection, rows: _prune_batch(connection, older_than_s, rows), batch)


async def _prune_batch(connection: Connection, older_than_s: float, batch: int) -> int:
    return count_of(await connection.execute(_PRUNE, older_than_s, batch))


def _array(values: Collection[str] | None) -> list[str] | None:
    return None if values is None else sorted(values)
