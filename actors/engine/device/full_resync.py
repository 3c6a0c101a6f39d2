"""Notes everything in a device file as changed, for a record in Postgres that has lost some of it.

A restored backup, or a standby that took over without the last commits, lacks changes that this file has shipped and has since cut
from its journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from actors.engine.device.schema import DEVICE_KIND
from actors.engine.device.sqlite import Connection, SqlValue
from storage.whatsmeow.codec import CodecError
from storage.whatsmeow.rows import APP_STATE_VERSION, DEVICE_TABLE, KINDS, LID_MAPPING, LID_TABLE, REVERSE, key_parts
from storage.whatsmeow.text import split_id

Entry = tuple[str, SqlValue, SqlValue]

_NOTE: Final = "INSERT INTO wasup_journal (kind, k1, k2)"


def note_everything(connection: Connection, recorded: Iterable[tuple[str, str]]) -> None:
    """Note every key of the file, and every ``(key_type, key_id)`` of the record: a key that the file lacks is shipped as deleted."""
    with connection.transaction():
        for statement in _notes_of_the_file():
            connection.execute(statement)
        for key_type, key_id in recorded:
            if (entry := _entry(key_type, key_id)) is not None:
                connection.execute(f"{_NOTE} VALUES (?, ?, ?)", entry)


def _notes_of_the_file() -> Iterator[str]:
    own = f"(SELECT jid FROM {DEVICE_TABLE})"  # noqa: S608 - our own names, here and below
    yield f"{_NOTE} VALUES ('{DEVICE_KIND}', NULL, NULL)"
    for kind in KINDS.values():
        columns = ", ".join((*kind.key, "NULL", "NULL")[:2]) if kind.key else "NULL, NULL"
        yield f"{_NOTE} SELECT '{kind.key_type}', {columns} FROM {kind.table} WHERE {kind.owner} = {own}"  # noqa: S608
    yield f"{_NOTE} SELECT '{APP_STATE_VERSION}', name, NULL FROM whatsmeow_app_state_version WHERE jid = {own}"  # noqa: S608
    yield f"{_NOTE} SELECT '{LID_MAPPING}', pn, NULL FROM {LID_TABLE}"  # noqa: S608
    yield f"{_NOTE} SELECT '{LID_MAPPING + REVERSE}', lid, NULL FROM {LID_TABLE}"  # noqa: S608


def _entry(key_type: str, key_id: str) -> Entry | None:
    """Return the journal's entry for a key of the record; None for a key that a device file cannot hold."""
    try:
        if key_type == LID_MAPPING:
            (user,) = split_id(key_id, 1)
            is_reverse = user.endswith(REVERSE)
            return (
                (LID_MAPPING + REVERSE, user.removesuffix(REVERSE), None) if is_reverse else (LID_MAPPING, user, None)
            )
        if key_type == APP_STATE_VERSION:
            (name,) = split_id(key_id, 1)
            return APP_STATE_VERSION, name, None
        if (kind := KINDS.get(key_type)) is None:
            return None
        first, second = (*key_parts(kind, key_id), None, None)[:2]
    except CodecError:
        return None
    return key_type, first, second
