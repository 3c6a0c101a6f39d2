"""Takes a company out of use in another program's tables, and puts it back.

Its credentials are replaced by an object on which Baileys fails at once and which says where they went. The originals,
and the keys as read, go into an additional table in the same transaction, so that an interrupted import can always go
on from there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, LiteralString, final

import msgspec

from config.json_text import read_json
from storage.baileys.directory import Source, SourceFile
from storage.baileys.names import CREDS_FILE
from storage.database.connection import Connection
from storage.imports.database.reading import ALL_OR_REFUSED, SEALED_KEY, begin_reading, read_company, source_of
from storage.imports.database.shape import ForeignError, Shape

ARCHIVE: Final = "wasup_moved"

_EXISTS: LiteralString = """
    SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = 'wasup_moved' AND c.relkind = 'r')
"""
_COLUMNS: LiteralString = """
    company_id TEXT PRIMARY KEY, digest TEXT NOT NULL, moved_to TEXT NOT NULL, sealed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    is_done BOOLEAN NOT NULL DEFAULT false, creds TEXT NOT NULL, files JSON NOT NULL, expired JSON NOT NULL
"""
_CASTS: Final[Mapping[str, LiteralString]] = {"json": "::json", "jsonb": "::jsonb"}
_NOTE: Final = (
    "This company has moved into wasup with its WhatsApp device. Do not put these credentials back in use: two owners of one device lose "
    "each other's messages. The table wasup_moved has what was here; docs/moving-in.md says how to go back."
)


@final
class Sealed(msgspec.Struct, frozen=True):
    """A company that was taken out of use in the other program's tables."""

    source: Source
    """As read before the sealing."""
    moved_to: str
    is_done: bool
    """The company's state is stored in wasup."""


async def find_sealed(connection: Connection, shape: Shape, company_id: str) -> Sealed | None:
    """Return what an earlier run has sealed; None when none did."""
    await begin_reading(connection)
    if not await connection.fetchval(_EXISTS, shape.schema_name):
        return None
    row = await connection.fetchrow(f"SELECT * FROM {shape.schema}.wasup_moved WHERE company_id = $1", company_id)
    if row is None:
        return None
    files = [
        SourceFile(name, data.encode("utf-8", "surrogateescape"), at)
        for name, data, at in read_json(row["files"], list[tuple[str, str, float]])
    ]
    creds = next(file for file in files if file.name == CREDS_FILE)
    rest = [file for file in files if file is not creds]
    source = source_of(company_id, creds, rest, (), read_json(row["expired"], list[str]))
    if source.digest != row["digest"]:
        raise ForeignError(f"the archive of company {company_id} in {ARCHIVE} there was changed since it was written")
    return Sealed(source, row["moved_to"], row["is_done"])


async def seal(
    connection: Connection, shape: Shape, company_id: str, source: Source, now_s: float, moved_to: str
) -> None:
    """Archive and replace the credentials. `ForeignError` when the company is no longer as in ``source``; the transaction is void then."""
    await connection.execute(ALL_OR_REFUSED)
    present = await read_company(connection, shape, company_id, now_s, lock=True)
    if present.digest != source.digest:
        raise ForeignError(
            f"company {company_id} changed there while it was read: stop the program that uses it, for good"
        )
    await _make_archive(connection, shape)
    original: str | None = await connection.fetchval(
        f"SELECT {shape.creds}::text FROM {shape.schema}.whatsapp_auth WHERE company_id = {shape.company}", company_id
    )
    files = [(file.name, file.data.decode("utf-8", "surrogateescape"), file.written_at) for file in source.files]
    await connection.execute(
        f"INSERT INTO {shape.schema}.wasup_moved (company_id, digest, moved_to, creds, files, expired) VALUES ($1, $2, $3, $4, $5, $6) "
        "ON CONFLICT (company_id) DO UPDATE SET digest = excluded.digest, moved_to = excluded.moved_to, creds = excluded.creds, "
        "files = excluded.files, expired = excluded.expired, is_done = false, sealed_at = now()",
        company_id, source.digest, moved_to, original, msgspec.json.encode(files), msgspec.json.encode(source.expired),
    )  # fmt: skip
    note = {SEALED_KEY: True, "companyId": company_id, "movedTo": moved_to, "sealedAt": int(time.time()), "note": _NOTE}
    await _put_creds(connection, shape, company_id, msgspec.json.encode(note).decode())


async def unseal(connection: Connection, shape: Shape, company_id: str) -> None:
    """Undo `seal`."""
    creds: str | None = await connection.fetchval(
        f"SELECT creds FROM {shape.schema}.wasup_moved WHERE company_id = $1 AND NOT is_done FOR UPDATE", company_id
    )
    if creds is None:
        raise ForeignError(f"company {company_id} is not sealed there, or has moved for good")
    await _put_creds(connection, shape, company_id, creds)
    await connection.execute(f"DELETE FROM {shape.schema}.wasup_moved WHERE company_id = $1", company_id)


async def mark_done(connection: Connection, shape: Shape, company_id: str) -> None:
    """Record in the archive that the company's state is stored."""
    await connection.execute(f"UPDATE {shape.schema}.wasup_moved SET is_done = true WHERE company_id = $1", company_id)


async def _make_archive(connection: Connection, shape: Shape) -> None:
    """Create the archive, readable by its owner alone: some hosts publish every table without row security."""
    if await connection.fetchval(_EXISTS, shape.schema_name):
        return
    await connection.execute(f"CREATE TABLE {shape.schema}.wasup_moved ({_COLUMNS})")
    await connection.execute(f"ALTER TABLE {shape.schema}.wasup_moved ENABLE ROW LEVEL SECURITY")
    await connection.execute(f"REVOKE ALL ON {shape.schema}.wasup_moved FROM PUBLIC")


async def _put_creds(connection: Connection, shape: Shape, company_id: str, text: str) -> None:
    cast: LiteralString = _CASTS[shape.creds_type] if shape.creds_type in _CASTS else ""  # noqa: SIM401 - its type would be lost
    done = await connection.execute(
        f"UPDATE {shape.schema}.whatsapp_auth SET {shape.creds} = $2::text{cast} WHERE company_id = {shape.company}",
        company_id,
        text,
    )
    if done != "UPDATE 1":
        raise ForeignError(
            f"the credentials of company {company_id} cannot be replaced there: {done}, where one row was meant"
        )
