"""Authentication state: writes many companies' changes in one transaction, fenced by their leases, and reads them back.

Callers pass and get plain values. With a master key configured (the connection's vault) `commit_deltas` seals them and
`load` opens them; so do `auth_single_statement.commit` for a single statement, `sealed_rows` for values from before the
key, and `media` for files' keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, LiteralString, final

import msgspec

from config.json_text import read_json
from storage.crypto.json_values import invalid_reason
from storage.crypto.sealing import (
    AUTH_TABLE,
    KEYS_TABLE,
    DataKey,
    StoredDataKey,
    Vault,
    broken_seal,
    claims_to_be_sealed,
    is_sealed,
)
from storage.database.connection import Connection, Reader, Row
from storage.errors import (
    InvalidValue,
    LeaseLost,
    MasterKeyError,
    RecordWentBack,
    StorageError,
    UnknownDeviceFile,
    UnreadableState,
)
from storage.tables import data_keys

ROWS_A_STATEMENT: Final = 100
"""A larger statement gains nothing and only holds its locks for longer."""

# Until COMMIT the join locks the lease against a take-over, and the journal row against another commit of the same
# company.
_FENCE: LiteralString = """
    SELECT lease.company_id, lease.owner, lease.epoch, lease.expires_at > now() AS live, journal.file_id, journal.position,
        key.data_key_id, key.kek_id, key.wrapped, key.all_sealed
    FROM whatsapp_leases lease JOIN whatsapp_journal journal ON journal.company_id = lease.company_id
        LEFT JOIN whatsapp_data_keys key ON key.company_id = lease.company_id AND key.retired_at IS NULL
    WHERE lease.company_id = ANY ($1)
    ORDER BY lease.company_id
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

# A new device file was built without them, so they must not become valid again (refresh_needed_whatsapp_keys).
_DROP_EXPIRED: LiteralString = "DELETE FROM whatsapp_keys WHERE company_id = ANY ($1) AND expires_at <= now()"

_PUT_CREDS: LiteralString = """
    INSERT INTO whatsapp_auth (company_id, creds) SELECT * FROM unnest($1::text[], $2::jsonb[])
    ON CONFLICT (company_id) DO UPDATE SET creds = excluded.creds, updated_at = now()
"""

_ADVANCE: LiteralString = """
    UPDATE whatsapp_journal journal SET file_id = new.file_id, position = new.position
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS new (company_id, file_id, position)
    WHERE journal.company_id = new.company_id
"""

# One statement, and so one snapshot: creds, keys, data key and journal position belong together.
_LOAD: LiteralString = """
    SELECT 'journal' AS part, NULL AS key_type, file_id AS key_id, to_jsonb(position) AS value
    FROM whatsapp_journal WHERE company_id = $1
    UNION ALL
    SELECT 'data key', data_key_id, kek_id, jsonb_build_array(encode(wrapped, 'hex'), all_sealed)
    FROM whatsapp_data_keys WHERE company_id = $1 AND retired_at IS NULL
    UNION ALL
    SELECT 'creds', NULL, NULL, creds FROM whatsapp_auth WHERE company_id = $1
    UNION ALL
    SELECT 'key', key_type, key_id, value FROM whatsapp_keys
    WHERE company_id = $1 AND (expires_at IS NULL OR expires_at > now())
"""

_POSITION: LiteralString = "SELECT file_id, position FROM whatsapp_journal WHERE company_id = $1"


@final
class KeyChange(msgspec.Struct, frozen=True):
    """The present value of one key (JSON); None means that the key is deleted."""

    key_type: str
    key_id: str
    value: bytes | None


@final
class Delta(msgspec.Struct, frozen=True):
    """The changes of a company's device file up to ``position`` of its journal."""

    company_id: str
    owner: str
    epoch: int
    file_id: str
    position: int
    creds: bytes | None
    """JSON; None: unchanged."""
    changes: tuple[KeyChange, ...]
    base: bool = False
    """True for the first delta of a new device file. Its ``file_id`` replaces the old one, and positions count from its ``position``."""
    after: int = 0
    """The position up to which the sender knows the file's journal to be committed."""


@final
class CommitResult(msgspec.Struct, frozen=True):
    """The result of one delta; valid once the transaction is committed."""

    company_id: str
    file_id: str
    position: int
    error: StorageError | None = None
    """None: durable. Otherwise the delta was refused and nothing of it is written: `LeaseLost`, `UnknownDeviceFile`,
    `RecordWentBack`, `InvalidValue`, or `UnreadableState` or `MasterKeyError` when it cannot be sealed as required."""
    repeated: bool = False
    """True when the delta had been committed before; nothing was written again."""


@final
class AuthState(msgspec.Struct, frozen=True):
    """All stored state of a company, at one moment. Values are JSON."""

    company_id: str
    creds: bytes | None
    """None: there is no identity."""
    file_id: str | None
    position: int
    keys: list[tuple[str, str, bytes]]
    """(key_type, key_id, value), expired ones left out."""


@final
class _Batch:
    """The net effect of accepted deltas: for each key the last value wins."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, str, str], bytes | None] = {}
        self.creds: dict[str, bytes] = {}
        self.journal: dict[str, tuple[str, int]] = {}
        self.new_files: set[str] = set()

    def add(self, delta: Delta) -> None:
        for change in delta.changes:
            self.keys[delta.company_id, change.key_type, change.key_id] = change.value
        if delta.creds is not None:
            self.creds[delta.company_id] = delta.creds
        self.journal[delta.company_id] = (delta.file_id, delta.position)
        if delta.base:
            self.new_files.add(delta.company_id)


@final
class _Fence:
    """A company's lease and journal as the transaction has locked them, and its data key."""

    def __init__(self, row: Row, vault: Vault) -> None:
        self.owner: str | None = row["owner"]
        self.epoch: int = row["epoch"]
        self.live: bool = row["live"]
        self.file_id: str | None = row["file_id"]
        self.position: int = row["position"]
        self.stored_key = None if row["data_key_id"] is None else data_keys.from_row(row)
        self.key: DataKey | None = None
        self.invalid_reason: UnreadableState | MasterKeyError | None = None
        """Why values of this company cannot be sealed."""
        if self.stored_key is not None:
            try:
                self.key = vault.unlock(self.stored_key)
            except UnreadableState as error:
                self.invalid_reason = error


async def commit_deltas(
    connection: Connection, deltas: Sequence[Delta], known: data_keys.KnownDataKeys | None = None
) -> list[CommitResult]:
    """Write the deltas of any number of companies in order, and return a result for each in the same order.

    A delta is refused in its result, and the others are written, when its lease is lost, its device file is not the
    company's, it follows commits that are gone, PostgreSQL would refuse one of its values (`InvalidValue`), or its
    company's data key cannot be used (`UnreadableState`). A delta at or below the recorded position of its file counts
    as committed and is not written again, so a delta may be repeated after an in-doubt commit. ``known`` is updated
    with the companies' data keys.
    """
    rows = await connection.fetch(_FENCE, sorted({delta.company_id for delta in deltas}))
    fences = {row["company_id"]: _Fence(row, connection.vault) for row in rows}
    if known is not None:
        for company_id, fence in fences.items():
            known.note(company_id, fence.stored_key)
    beginning = fences.keys() & {delta.company_id for delta in deltas if delta.base}
    if beginning and (invalid_reason := await data_keys.why_not_plain(connection)) is not None:
        for company_id in beginning:
            fences[company_id].invalid_reason = fences[company_id].invalid_reason or invalid_reason
    batch = _Batch()
    results = [_accept(batch, fences.get(delta.company_id), delta) for delta in deltas]
    await _write(connection, batch, await _keys(connection, batch, fences))
    return results


async def _keys(connection: Connection, batch: _Batch, fences: Mapping[str, _Fence]) -> dict[str, DataKey]:
    """Return the data key of each company, creating missing ones. A company without an entry is stored unencrypted."""
    found = {company_id: key for company_id in batch.journal if (key := fences[company_id].key) is not None}
    if connection.vault.is_sealing:
        found |= await data_keys.create(connection, batch.journal.keys() - found.keys())
    return found


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
    if not delta.base and fence.position < delta.after:
        return RecordWentBack(delta.company_id, fence.position, delta.after)
    return fence.invalid_reason or refusal_of_values(delta)


def refusal_of_values(delta: Delta) -> InvalidValue | None:
    """Return why PostgreSQL would refuse a value of the delta: one such value must not fail the transaction for every company in it."""
    if delta.creds is not None and (why := _fault(delta.creds)) is not None:
        return InvalidValue("22P02", f"the credentials of company {delta.company_id} cannot be stored: {why}")
    for change in delta.changes:
        why = _fault(change.value) if change.value is not None else None
        if "\x00" in change.key_id or "\x00" in change.key_type:
            why = "its name holds a NUL character"
        if why is not None:
            return InvalidValue(
                "22P02", f"a {change.key_type!r} key of company {delta.company_id} cannot be stored: {why}"
            )
    return None


def _fault(value: bytes) -> str | None:
    return invalid_reason(value) or ("it has the form of a sealed value" if claims_to_be_sealed(value) else None)


async def _write(connection: Connection, batch: _Batch, data_keys: Mapping[str, DataKey]) -> None:
    keys = sorted(batch.keys.items())  # all writers lock in the same order
    creds = sorted(batch.creds.items())
    if batch.new_files:
        await connection.execute(_DROP_EXPIRED, sorted(batch.new_files))
    await _write_rows(
        connection,
        _PUT_KEYS,
        [(*key, _stored(data_keys, KEYS_TABLE, *key, value)) for key, value in keys if value is not None],
    )
    await _write_rows(connection, _DELETE_KEYS, [key for key, value in keys if value is None])
    await _write_rows(
        connection,
        _PUT_CREDS,
        [(company_id, _stored(data_keys, AUTH_TABLE, company_id, "creds", "", value)) for company_id, value in creds],
    )
    await _write_rows(connection, _ADVANCE, [(company_id, *at) for company_id, at in sorted(batch.journal.items())])


def _stored(
    data_keys: Mapping[str, DataKey], table: str, company_id: str, key_type: str, key_id: str, value: bytes
) -> bytes:
    key = data_keys.get(company_id)
    return value if key is None else key.seal(table, key_type, key_id, value)


async def _write_rows(connection: Connection, sql: LiteralString, rows: Sequence[tuple[object, ...]]) -> None:
    """Run the statement with one array for each column, for a limited number of rows at a time."""
    for start in range(0, len(rows), ROWS_A_STATEMENT):
        columns = zip(*rows[start : start + ROWS_A_STATEMENT], strict=True)
        await connection.execute(sql, *map(list, columns))


async def load(reader: Reader, company_id: str) -> AuthState:
    """Return all stored state of the company, opened and consistent. An unknown company has no creds, no keys and position 0.

    Raises `UnreadableState` when any part of it cannot be opened; a partial state is never returned.
    """
    creds: bytes | None = None
    file_id: str | None = None
    position = 0
    keys: list[tuple[str, str, bytes]] = []
    stored: StoredDataKey | None = None
    for row in await reader.fetch(_LOAD, company_id):
        match row["part"]:
            case "key":
                keys.append((row["key_type"], row["key_id"], row["value"]))
            case "creds":
                creds = row["value"]
            case "data key":
                wrapped, all_sealed = read_json(row["value"], tuple[str, bool])
                stored = StoredDataKey(company_id, row["key_type"], row["key_id"], bytes.fromhex(wrapped), all_sealed)
            case _:
                file_id, position = row["key_id"], int(row["value"])
    key = None if stored is None else reader.vault.unlock(stored)
    if creds is not None:
        creds = opened(key, company_id, AUTH_TABLE, "creds", "", creds)
    keys = [
        (key_type, key_id, opened(key, company_id, KEYS_TABLE, key_type, key_id, value))
        for key_type, key_id, value in keys
    ]
    return AuthState(company_id, creds, file_id, position, keys)


def opened(key: DataKey | None, company_id: str, table: str, key_type: str, key_id: str, stored: bytes) -> bytes:
    """Return the plain value of a row, sealed or not. `UnreadableState` when it is not what was written there."""
    if key is not None:
        return key.open(table, key_type, key_id, stored)
    if is_sealed(stored):
        raise broken_seal(company_id, table, key_type, "it is sealed, and the company's data key is gone")
    return stored


async def journal_position(reader: Reader, company_id: str) -> tuple[str | None, int]:
    """Return the device file that wrote last (None: none ever did) and the stored position of its journal. Settles in-doubt commits."""
    row = await reader.fetchrow(_POSITION, company_id)
    return (None, 0) if row is None else (row["file_id"], row["position"])
