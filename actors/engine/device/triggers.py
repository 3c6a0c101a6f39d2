"""The triggers of a device file: those that note changed keys in the journal, and the one that guards Signal sessions."""

from __future__ import annotations

from collections.abc import Iterator

from actors.engine.device.schema import DEVICE_KIND
from actors.engine.device.session_guard import GUARD
from actors.engine.device.sqlite import Connection
from storage.whatsmeow.rows import (
    APP_STATE_VERSION,
    DEVICE_COLUMNS,
    DEVICE_TABLE,
    KINDS,
    LID_MAPPING,
    LID_TABLE,
    MACS_TABLE,
    REVERSE,
)

Note = tuple[str, tuple[str, ...]]
"""A kind of key and the columns that name it."""


def create_triggers(connection: Connection) -> None:
    """Create the triggers of a file that has none, in the caller's transaction."""
    for statement in _wanted().values():
        connection.script(statement)


def install_triggers(connection: Connection) -> None:
    """Replace the file's triggers by the present ones in one transaction; write nothing when they are the same."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name GLOB 'wasup_*'"
    found = {str(name): str(sql) for name, sql in connection.execute(query)}
    if found == _wanted():
        return
    with connection.transaction():
        for name in found:
            connection.script(f"DROP TRIGGER IF EXISTS {name}")
        create_triggers(connection)


def _wanted() -> dict[str, str]:
    return {statement.split()[2]: statement for statement in (*_journal(), GUARD)}


def _journal() -> Iterator[str]:
    """Yield the triggers that note every changed key of the mapped tables. An update that changes nothing (identity keys are put again
    with every message) leaves no note."""
    yield from _table_triggers(DEVICE_TABLE, ((DEVICE_KIND, ()),), DEVICE_COLUMNS)
    note = "INSERT OR REPLACE INTO wasup_meta (name, value) VALUES ('linked', '1');"
    yield _trigger("linked", f"INSERT ON {DEVICE_TABLE}", [note])
    for kind in KINDS.values():
        yield from _table_triggers(kind.table, ((kind.key_type, kind.key),), kind.key + kind.columns)
    yield from _table_triggers(
        "whatsmeow_app_state_version", ((APP_STATE_VERSION, ("name",)),), ("name", "version", "hash")
    )
    yield from _table_triggers(
        MACS_TABLE, ((APP_STATE_VERSION, ("name",)),), ("name", "version", "index_mac", "value_mac")
    )
    yield from _table_triggers(LID_TABLE, ((LID_MAPPING, ("pn",)), (LID_MAPPING + REVERSE, ("lid",))), ("lid", "pn"))


def _table_triggers(table: str, notes: tuple[Note, ...], columns: tuple[str, ...]) -> Iterator[str]:
    new, old = [_note(note, "NEW") for note in notes], [_note(note, "OLD") for note in notes]
    yield _trigger(f"{table}_insert", f"INSERT ON {table}", new)
    yield _trigger(f"{table}_delete", f"DELETE ON {table}", old)
    yield _trigger(f"{table}_update", f"UPDATE ON {table} WHEN {_changed(columns)}", new)
    # Separate triggers, OF those columns: the library prepares its statement anew for each write, and SQLite compiles those that may fire.
    for note in notes:
        if key := note[1]:
            event = f"UPDATE OF {', '.join(key)} ON {table} WHEN {_changed(key)}"
            yield _trigger(f"{table}_moved_{key[0]}", event, [_note(note, "OLD")])


def _changed(columns: tuple[str, ...]) -> str:
    return " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in columns)


def _trigger(name: str, event: str, notes: list[str]) -> str:
    return f"CREATE TRIGGER wasup_{name} AFTER {event} BEGIN {' '.join(notes)} END"


def _note(note: Note, row: str) -> str:
    kind, key = note
    parts = [f"{row}.{column}" for column in key] + ["NULL"] * (2 - len(key))
    return f"INSERT INTO wasup_journal (kind, k1, k2) VALUES ('{kind}', {', '.join(parts)});"  # noqa: S608 - our own names
