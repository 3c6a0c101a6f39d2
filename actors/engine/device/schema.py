"""What a device file contains: the library's own schema, and beside it our journal, event spool and notes.

The library's part is not written here: it is read from a database that the installed library made (`Template`), so that a file we
build equals one that the library would have built.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from actors.engine.device.sqlite import Connection, Sqlite, SqlValue
from actors.engine.errors import DamagedFile, UnknownSchema
from actors.engine.whatsmeow.library import Library
from storage.whatsmeow.rows import DEVICE_TABLE, KINDS, LID_TABLE, MACS_TABLE, SCHEMA_VERSION, UNMAPPED

DEVICE_KIND: Final = "device"
"""The journal's kind for the device row, which holds the creds."""

OWN_TABLES: Final = (
    "CREATE TABLE wasup_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE wasup_journal (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, k1, k2)",
    "CREATE TABLE wasup_outbox"
    " (number INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, payload BLOB NOT NULL, position INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS wasup_arrived (number INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL UNIQUE)",
)


REQUIRED_TABLES: Final = (
    frozenset(kind.table for kind in KINDS.values())
    | frozenset(UNMAPPED)
    | {DEVICE_TABLE, LID_TABLE, MACS_TABLE, "whatsmeow_app_state_version"}
    | {"wasup_meta", "wasup_journal", "wasup_outbox", "wasup_arrived"}
)
"""The tables without which a file cannot be used."""


@dataclass(frozen=True, slots=True)
class Template:
    """The statements that make an empty database of the library's schema."""

    statements: tuple[str, ...]


def read_template(library: Library, sqlite: Sqlite) -> Template:
    """Have the library make a database and read its statements. Raise `UnknownSchema` when it is not the version we map."""
    with TemporaryDirectory(prefix="wasup-schema-") as directory:
        path = Path(directory) / "template.db"
        library.make_database(path)
        connection = sqlite.connect(path)
        try:
            require_version(connection)
            rows = connection.execute(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
            )
        finally:
            connection.close()
    version = f"INSERT INTO whatsmeow_version (version, compat) VALUES {SCHEMA_VERSION}"  # noqa: S608 - two numbers
    return Template((*(str(row[0]) for row in rows), version))


def require_complete(connection: Connection) -> None:
    """Raise unless this is a device file: `DamagedFile` when a table or the version is missing, as in an unfinished file,
    `UnknownSchema` for a version of the library's schema that we do not know."""
    tables = _tables(connection)
    if _version(connection, tables) is None:
        raise DamagedFile("it does not say which schema it has")
    require_version(connection)
    if missing := sorted(REQUIRED_TABLES - tables):
        raise DamagedFile(f"it has no table {missing[0]}")


def require_version(connection: Connection) -> None:
    """Raise `UnknownSchema` unless the file has exactly the schema that storage/whatsmeow/rows.py maps."""
    found = _version(connection, _tables(connection))
    if found != SCHEMA_VERSION:
        raise UnknownSchema(found, SCHEMA_VERSION)  # type: ignore[arg-type]  # whatever it holds is only shown


def _tables(connection: Connection) -> frozenset[str]:
    return frozenset(str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))


def _version(connection: Connection, tables: frozenset[str]) -> tuple[SqlValue, SqlValue] | None:
    if "whatsmeow_version" not in tables:
        return None
    rows = connection.execute("SELECT version, compat FROM whatsmeow_version")
    return (rows[0][0], rows[0][1]) if rows else None
