"""Commits ordinary deltas, as a send makes them, by a single statement: one round trip to the server instead of five.

A delta that is not certain to be written goes to `auth_state.commit_deltas` instead. Both decide the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from storage.crypto.sealing import KEYS_TABLE, DataKey, Vault
from storage.database.connection import Connection, milliseconds
from storage.errors import StorageError
from storage.tables.auth_state import ROWS_A_STATEMENT, CommitResult, Delta, refusal_of_values
from storage.tables.data_keys import KnownDataKeys

# The setting is made before the first row is locked, since the rows to lock come out of the join with it; it ends with
# the statement. The last column of `new` makes all writers lock rows in the same order.
_COMMIT: LiteralString = """
    WITH patience AS MATERIALIZED (SELECT set_config('lock_timeout', $1, true)),
    fence AS MATERIALIZED (
        SELECT lease.company_id, asked.position
        FROM patience
            CROSS JOIN unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::text[], $9::text[],
                $10::bytea[], $11::boolean[])
                AS asked (company_id, owner, epoch, file_id, position, after, data_key_id, kek_id, wrapped, all_sealed)
            JOIN whatsapp_leases lease ON lease.company_id = asked.company_id
            JOIN whatsapp_journal journal ON journal.company_id = asked.company_id
            LEFT JOIN whatsapp_data_keys key ON key.company_id = asked.company_id AND key.retired_at IS NULL
        WHERE lease.owner = asked.owner AND lease.epoch = asked.epoch AND lease.expires_at > now()
            AND journal.file_id = asked.file_id AND journal.position < asked.position AND journal.position >= asked.after
            AND key.data_key_id IS NOT DISTINCT FROM asked.data_key_id AND key.kek_id IS NOT DISTINCT FROM asked.kek_id
            AND key.wrapped IS NOT DISTINCT FROM asked.wrapped AND key.all_sealed IS NOT DISTINCT FROM asked.all_sealed
        ORDER BY lease.company_id
        FOR SHARE OF lease FOR UPDATE OF journal
    ),
    advanced AS (
        UPDATE whatsapp_journal journal SET position = fence.position FROM fence WHERE journal.company_id = fence.company_id
    ),
    put AS (
        INSERT INTO whatsapp_keys AS stored (company_id, key_type, key_id, value, expires_at)
        SELECT company_id, key_type, key_id, value, CASE key_type WHEN 'lid-mapping' THEN now() + interval '7 days' END
        FROM unnest($12::text[], $13::text[], $14::text[], $15::jsonb[]) WITH ORDINALITY
            AS new (company_id, key_type, key_id, value, place)
            JOIN fence USING (company_id)
        ORDER BY place
        ON CONFLICT (company_id, key_type, key_id)
        DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at, updated_at = now()
    )
    SELECT company_id FROM fence
"""

Put = tuple[str, str, str, bytes]


def is_ordinary(deltas: Sequence[Delta], known: KnownDataKeys) -> bool:
    """Return whether `commit` may be tried: only new values of keys, one delta a company, known data keys, and not too many values."""
    return (
        len({delta.company_id for delta in deltas}) == len(deltas)
        and sum(len(delta.changes) for delta in deltas) <= ROWS_A_STATEMENT
        and all(delta.company_id in known and _only_puts(delta) for delta in deltas)
    )


async def commit(
    connection: Connection, deltas: Sequence[Delta], known: KnownDataKeys, lock_timeout_s: float
) -> list[CommitResult] | None:
    """Write ordinary deltas on a connection outside any transaction, and return a result for each.

    Return None when not all of them were written: the caller then repeats them all with `commit_deltas`, which reports
    the reason.
    """
    puts = _puts(connection.vault, deltas, known)
    if puts is None:
        return None
    columns = map(list, zip(*puts, strict=True))
    rows = await connection.fetch(
        _COMMIT,
        str(milliseconds(lock_timeout_s)),
        *_asked(deltas, known),
        *(columns if puts else [[], [], [], []]),
    )
    if len(rows) < len(deltas):
        return None
    return [CommitResult(delta.company_id, delta.file_id, delta.position) for delta in deltas]


def _only_puts(delta: Delta) -> bool:
    return not delta.base and delta.creds is None and all(change.value is not None for change in delta.changes)


def _puts(vault: Vault, deltas: Sequence[Delta], known: KnownDataKeys) -> list[Put] | None:
    """Return the rows to write, in the order in which all writers lock them; None when one of them cannot be written this way."""
    puts: list[Put] = []
    for delta in deltas:
        stored = known[delta.company_id]
        if refusal_of_values(delta) is not None or (stored is None and vault.is_sealing):
            return None
        try:
            key = None if stored is None else vault.unlock(stored)
        except StorageError:
            return None
        newest = {(change.key_type, change.key_id): change.value for change in delta.changes}
        puts += [_put(delta.company_id, key, *name, value) for name, value in newest.items() if value is not None]
    return sorted(puts)


def _put(company_id: str, key: DataKey | None, key_type: str, key_id: str, value: bytes) -> Put:
    sealed = value if key is None else key.seal(KEYS_TABLE, key_type, key_id, value)
    return company_id, key_type, key_id, sealed


def _asked(deltas: Sequence[Delta], known: KnownDataKeys) -> list[list[object]]:
    keys = [known[delta.company_id] for delta in deltas]
    of_deltas = ("company_id", "owner", "epoch", "file_id", "position", "after")
    of_keys = ("data_key_id", "kek_id", "wrapped", "all_sealed")
    return [
        *([getattr(delta, name) for delta in deltas] for name in of_deltas),
        *([None if key is None else getattr(key, name) for key in keys] for name in of_keys),
    ]
