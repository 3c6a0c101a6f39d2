"""Companies' data keys in the database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Final, LiteralString, final

from storage.crypto.sealing import DataKey, StoredDataKey
from storage.database.connection import Connection, Reader, Row
from storage.errors import MasterKeyError

MOST_KNOWN: Final = 10_000
"""The number of companies whose data keys' rows are remembered."""

_COLUMNS: Final = ("company_id", "data_key_id", "kek_id", "wrapped", "all_sealed")

_INSERT: LiteralString = """
    INSERT INTO whatsapp_data_keys (company_id, data_key_id, kek_id, wrapped, all_sealed)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::boolean[])
"""
_INSERT_RETIRED: LiteralString = """
    INSERT INTO whatsapp_data_keys (company_id, data_key_id, kek_id, wrapped, all_sealed, retired_at)
    VALUES ($1, $2, $3, $4, $5, now())
"""
_STORED: LiteralString = """
    SELECT company_id FROM whatsapp_auth WHERE company_id = ANY ($1)
    UNION SELECT company_id FROM whatsapp_keys WHERE company_id = ANY ($1)
"""
_REPLACE: LiteralString = """
    UPDATE whatsapp_data_keys stored SET kek_id = new.kek_id, wrapped = new.wrapped, all_sealed = new.all_sealed
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::boolean[])
        AS new (company_id, data_key_id, kek_id, wrapped, all_sealed)
    WHERE stored.company_id = new.company_id AND stored.data_key_id = new.data_key_id
"""
_LIVE: LiteralString = """
    SELECT company_id, data_key_id, kek_id, wrapped, all_sealed FROM whatsapp_data_keys
    WHERE company_id = $1 AND retired_at IS NULL FOR UPDATE
"""
_RETIRE: LiteralString = "UPDATE whatsapp_data_keys SET retired_at = now() WHERE company_id = $1 AND retired_at IS NULL"
_FORGET: LiteralString = """
    DELETE FROM whatsapp_data_keys gone
    WHERE company_id = ANY ($1) AND retired_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM whatsapp_auth_archive kept
        WHERE kept.company_id = gone.company_id AND kept.data_key_id = gone.data_key_id
    )
"""
_SEALED: LiteralString = "SELECT EXISTS (SELECT FROM whatsapp_data_keys WHERE retired_at IS NULL)"
_MASTERS: LiteralString = """
    SELECT kek_id, count(*) AS companies FROM (
        SELECT kek_id, company_id FROM whatsapp_data_keys WHERE retired_at IS NULL
        UNION SELECT kek_id, company_id FROM whatsapp_media_keys
    ) AS wrapped GROUP BY 1 ORDER BY 1
"""


@final
class KnownDataKeys:
    """The last seen rows of companies' data keys; no secrets. The statement compares them with the stored ones."""

    def __init__(self) -> None:
        self._rows: OrderedDict[str, StoredDataKey | None] = OrderedDict()

    def __contains__(self, company_id: str) -> bool:
        return company_id in self._rows

    def __getitem__(self, company_id: str) -> StoredDataKey | None:
        """None: the company has no data key, its values are plain."""
        return self._rows[company_id]

    def note(self, company_id: str, row: StoredDataKey | None) -> None:
        """Record the company's present data key."""
        self._rows[company_id] = row
        if len(self._rows) > MOST_KNOWN:
            self._rows.popitem(last=False)


def from_row(row: Row) -> StoredDataKey:
    """Return the data key of a row with these columns."""
    return StoredDataKey(*(row[name] for name in _COLUMNS))


async def create(connection: Connection, company_ids: Collection[str]) -> dict[str, DataKey]:
    """Create a data key for each company. None of them may have a live one, and the caller has locked their journals."""
    if not company_ids:
        return {}
    with_plain = {row["company_id"] for row in await connection.fetch(_STORED, list(company_ids))}
    made = [
        connection.vault.make(company_id, all_sealed=company_id not in with_plain) for company_id in sorted(company_ids)
    ]
    await _run(connection, _INSERT, [stored for stored, _ in made])
    return {stored.company_id: key for stored, key in made}


async def create_retired(connection: Connection, company_id: str) -> DataKey:
    """Create a data key for an archived identity; nothing else is sealed under it."""
    stored, key = connection.vault.make(company_id, all_sealed=True)
    await connection.execute(_INSERT_RETIRED, *(getattr(stored, name) for name in _COLUMNS))
    return key


async def live(connection: Connection, company_id: str) -> StoredDataKey | None:
    """Return the company's present data key, locked; None when it has none."""
    row = await connection.fetchrow(_LIVE, company_id)
    return None if row is None else from_row(row)


async def replace(connection: Connection, keys: Sequence[StoredDataKey]) -> None:
    """Replace the stored keys that have the same company and id."""
    if keys:
        await _run(connection, _REPLACE, keys)


async def retire(connection: Connection, company_id: str) -> None:
    """Retire the company's key, so that its next value is sealed under a new one. Destroys retired keys that no archive needs."""
    await connection.execute(_RETIRE, company_id)
    await destroy_unused(connection, [company_id])


async def destroy_unused(connection: Connection, company_ids: Collection[str]) -> None:
    """Destroy these companies' retired keys that no archive needs."""
    await connection.execute(_FORGET, list(company_ids))


async def require_master_key(reader: Reader) -> dict[str, int]:
    """Raise `MasterKeyError` when there are sealed companies and no configured key opens any of them.

    Return how many companies need a master key that is not configured, by its id. The other companies are not affected.
    """
    wanted = {row["kek_id"]: row["companies"] for row in await reader.fetch(_MASTERS)}
    masters = reader.vault.master_keys
    missing = {kek_id: n for kek_id, n in wanted.items() if masters is None or masters.find(kek_id) is None}
    if not missing or len(missing) < len(wanted):
        return missing
    needed = f"the state of {sum(wanted.values())} companies in the database is sealed under master key {' and '.join(wanted)}"
    if masters is None:
        raise MasterKeyError(
            f"{needed}, and none is configured: set WASUP_MASTER_KEY_FILE or the systemd credential master_key"
        )
    raise MasterKeyError(f"{needed}, but {masters.file} holds {' and '.join(masters.ids)}: name the file with that key")


async def why_not_plain(reader: Reader) -> MasterKeyError | None:
    """Return why the state of a new company may not be stored plain; None when it may, or when it will be sealed. A
    plain company beside sealed ones is a configuration mistake."""
    if reader.vault.is_sealing or not await reader.fetchval(_SEALED):
        return None
    return MasterKeyError(
        "other companies' state in this database is sealed, and no master key is configured: set WASUP_MASTER_KEY_FILE"
    )


async def _run(connection: Connection, sql: LiteralString, keys: Sequence[StoredDataKey]) -> None:
    columns = zip(*(tuple(getattr(key, name) for name in _COLUMNS) for key in keys), strict=True)
    await connection.execute(sql, *map(list, columns))
