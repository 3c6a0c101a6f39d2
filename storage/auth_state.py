"""Authentication state: many companies' changes in one transaction, fenced by their leases; and reading it back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString, final

import msgspec

from storage.connection import Connection, Reader
from storage.errors import InvalidValue, LeaseLost, StorageError, UnknownDeviceFile
from storage.json_values import fault
from storage.pool import Database

ROWS_A_STATEMENT: Final = 100
"""Beyond this a statement gains nothing and only holds its locks for longer."""

# The join locks the lease against being taken over, and the journal row against another commit of the same company,
# until COMMIT.
_FENCE: LiteralString = """
    SELECT company_id, lease.owner, lease.epoch, lease.expires_at > now() AS live, journal.file_id, journal.position
    FROM whatsapp_leases lease JOIN whatsapp_journal journal USING (company_id)
    WHERE company_id = ANY ($1)
    ORDER BY company_id
    FOR SHARE OF lease FOR UPDATE OF journal
"""

_PUT_KEYS: LiteralString = """
    INSERT INTO whatsapp_keys AS stored (company_id, key_type, key_id, value, expires_at)
    SELECT company_id, key_type, key_id, value, CASE key_type WHEN 'lid-mapping' THEN now() + interval '7 days' END
    FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[]) AS new (company_id, key_type, key_id, value)
    ON CONFLICT (company_id, key_type, key_id)
    DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at, updated_at = now()
"""

_DELETE_KEYS: LiteralString = """
    DELETE FROM whatsapp_keys stored
    USING unnest($1::text[], $2::text[], $3::text[]) AS gone (company_id, key_type, key_id)
    WHERE stored.company_id = gone.company_id AND stored.key_type = gone.key_type AND stored.key_id = gone.key_id
"""

_PUT_CREDS: LiteralString = """
    INSERT INTO whatsapp_auth (company_id, creds) SELECT * FROM unnest($1::text[], $2::jsonb[])
    ON CONFLICT (company_id) DO UPDATE SET creds = excluded.creds, updated_at = now()
"""

_ADVANCE: LiteralString = """
    UPDATE whatsapp_journal journal SET file_id = new.file_id, position = new.position
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS new (company_id, file_id, position)
    WHERE journal.company_id = new.company_id
"""

# One statement, and so one snapshot: creds, keys and journal position belong together.
_LOAD: LiteralString = """
    SELECT 'journal' AS part, NULL AS key_type, file_id AS key_id, to_jsonb(position) AS value
    FROM whatsapp_journal WHERE company_id = $1
    UNION ALL
    SELECT 'creds', NULL, NULL, creds FROM whatsapp_auth WHERE company_id = $1
    UNION ALL
    SELECT 'key', key_type, key_id, value FROM whatsapp_keys
    WHERE company_id = $1 AND (expires_at IS NULL OR expires_at > now())
"""

_CLEANUP: LiteralString = "SELECT cleanup_expired_whatsapp_keys()"
_STATISTICS: LiteralString = "SELECT * FROM get_whatsapp_auth_stats()"
_POSITION: LiteralString = "SELECT file_id, position FROM whatsapp_journal WHERE company_id = $1"


@final
class KeyChange(msgspec.Struct, frozen=True):
    """The present value of one key (JSON), or None: it is gone."""

    key_type: str
    key_id: str
    value: bytes | None


@final
class Delta(msgspec.Struct, frozen=True):
    """What a company's device file changed up to ``position`` of its journal."""

    company_id: str
    owner: str
    epoch: int
    file_id: str
    position: int
    creds: bytes | None
    """JSON; None: unchanged."""
    changes: tuple[KeyChange, ...]
    base: bool = False
    """True: the first word of a new device file. Its ``file_id`` replaces the old one and positions count anew from its
    ``position``."""


@final
class CommitResult(msgspec.Struct, frozen=True):
    """What became of one delta, once the transaction is committed."""

    company_id: str
    file_id: str
    position: int
    error: StorageError | None = None
    """None: durable. `LeaseLost`, `UnknownDeviceFile` or `InvalidValue`: refused, nothing of it is written."""
    repeated: bool = False
    """It had been committed before; nothing was written again."""


@final
class AuthState(msgspec.Struct, frozen=True):
    """All that is stored of a company, at one moment. Values are JSON."""

    company_id: str
    creds: bytes | None
    """None: there is no identity."""
    file_id: str | None
    position: int
    keys: list[tuple[str, str, bytes]]
    """(key_type, key_id, value), expired ones left out."""


@final
class KeyStatistics(msgspec.Struct, frozen=True):
    """How much is stored of one type of key of one company; the credentials are the type `creds`."""

    company_id: str
    key_type: str
    total: int
    expired: int
    """Of them, those that the next clean-up removes."""
    bytes: int
    """Of the values."""


@final
class _Batch:
    """The net effect of accepted deltas: for each key the last value wins."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, str, str], bytes | None] = {}
        self.creds: dict[str, bytes] = {}
        self.journal: dict[str, tuple[str, int]] = {}

    def add(self, delta: Delta) -> None:
        for change in delta.changes:
            self.keys[delta.company_id, change.key_type, change.key_id] = change.value
        if delta.creds is not None:
            self.creds[delta.company_id] = delta.creds
        self.journal[delta.company_id] = (delta.file_id, delta.position)


@final
class _Fence:
    """A company's lease and journal as the transaction has locked them."""

    def __init__(self, owner: str | None, epoch: int, *, live: bool, file_id: str | None, position: int) -> None:
        self.owner = owner
        self.epoch = epoch
        self.live = live
        self.file_id = file_id
        self.position = position


async def commit_deltas(connection: Connection, deltas: Sequence[Delta]) -> list[CommitResult]:
    """Write the deltas of any number of companies, in their order, and answer for each in the same order.

    A delta whose lease is lost or whose device file is not the company's is refused in its result; the others are
    written. So is one with a value that PostgreSQL would refuse (`InvalidValue`). One at or below the position already
    recorded for its file is answered as committed without being written again, so a delta may be repeated after an
    in-doubt commit.
    """
    rows = await connection.fetch(_FENCE, sorted({delta.company_id for delta in deltas}))
    fences = {
        row["company_id"]: _Fence(
            row["owner"], row["epoch"], live=row["live"], file_id=row["file_id"], position=row["position"]
        )
        for row in rows
    }
    batch = _Batch()
    results = [_accept(batch, fences.get(delta.company_id), delta) for delta in deltas]
    await _write(connection, batch)
    return results


def _accept(batch: _Batch, fence: _Fence | None, delta: Delta) -> CommitResult:
    error = _refusal(fence, delta)
    if error is not None or fence is None:
        return CommitResult(delta.company_id, delta.file_id, delta.position, error)
    if delta.file_id == fence.file_id and delta.position <= fence.position:
        return CommitResult(delta.company_id, delta.file_id, delta.position, repeated=True)
    batch.add(delta)
    fence.file_id, fence.position = delta.file_id, delta.position
    return CommitResult(delta.company_id, delta.file_id, delta.position)


def _refusal(fence: _Fence | None, delta: Delta) -> StorageError | None:
    if fence is None:
        return LeaseLost(delta.company_id, delta.epoch, None)
    if (fence.owner, fence.epoch) != (delta.owner, delta.epoch) or not fence.live:
        return LeaseLost(delta.company_id, delta.epoch, fence.epoch)
    if not delta.base and delta.file_id != fence.file_id:
        return UnknownDeviceFile(delta.company_id, delta.file_id, fence.file_id)
    return _invalid(delta)


def _invalid(delta: Delta) -> InvalidValue | None:
    """One bad value must not fail the transaction for every company in it."""
    if delta.creds is not None and (why := fault(delta.creds)) is not None:
        return InvalidValue("22P02", f"the credentials of company {delta.company_id} cannot be stored: {why}")
    for change in delta.changes:
        why = fault(change.value) if change.value is not None else None
        if "\x00" in change.key_id or "\x00" in change.key_type:
            why = "its name holds a NUL character"
        if why is not None:
            return InvalidValue(
                "22P02", f"a {change.key_type!r} key of company {delta.company_id} cannot be stored: {why}"
            )
    return None


async def _write(connection: Connection, batch: _Batch) -> None:
    keys = sorted(batch.keys.items())  # one order of locking for everybody
    await _write_rows(connection, _PUT_KEYS, [(*key, value) for key, value in keys if value is not None])
    await _write_rows(connection, _DELETE_KEYS, [key for key, value in keys if value is None])
    await _write_rows(connection, _PUT_CREDS, sorted(batch.creds.items()))
    await _write_rows(connection, _ADVANCE, [(company_id, *at) for company_id, at in sorted(batch.journal.items())])


async def _write_rows(connection: Connection, sql: LiteralString, rows: Sequence[tuple[object, ...]]) -> None:
    """Run the statement with one array a column, for a limited number of rows at a time."""
    for start in range(0, len(rows), ROWS_A_STATEMENT):
        columns = zip(*rows[start : start + ROWS_A_STATEMENT], strict=True)
        await connection.execute(sql, *map(list, columns))


async def load(reader: Reader, company_id: str) -> AuthState:
    """Everything stored of the company, consistent in itself. A company nobody knows has no creds, no keys and position
    0."""
    creds: bytes | None = None
    file_id: str | None = None
    position = 0
    keys: list[tuple[str, str, bytes]] = []
    for row in await reader.fetch(_LOAD, company_id):
        if row["part"] == "key":
            keys.append((row["key_type"], row["key_id"], row["value"]))
        elif row["part"] == "creds":
            creds = row["value"]
        else:
            file_id, position = row["key_id"], int(row["value"])
    return AuthState(company_id, creds, file_id, position, keys)


async def journal_position(reader: Reader, company_id: str) -> tuple[str | None, int]:
    """The device file that last wrote, None when none ever did, and how far its journal is stored. Settles in-doubt
    commits."""
    row = await reader.fetchrow(_POSITION, company_id)
    return (None, 0) if row is None else (row["file_id"], row["position"])


async def cleanup_expired(db: Database) -> int:
    """Delete the keys whose time is over (LID mappings, a week after they were last written) and return how many."""
    return await db.write(_cleanup)


async def statistics(reader: Reader) -> list[KeyStatistics]:
    """What is stored, by company and type of key."""
    return [
        KeyStatistics(row["company_id"], row["key_type"], row["total"], row["expired"], row["bytes"])
        for row in await reader.fetch(_STATISTICS)
    ]


async def _cleanup(connection: Connection) -> int:
    deleted: int = await connection.fetchval(_CLEANUP)
    return deleted
