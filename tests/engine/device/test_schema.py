"""The mapping covers the whole schema of the library, and leaves everything else alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actors.engine.device.file import DeviceFile, open_file
from actors.engine.device.schema import Template, require_version
from actors.engine.device.sqlite import Connection, Sqlite
from actors.engine.errors import UnknownSchema
from storage.whatsmeow.creds import DEVICE_COLUMNS
from storage.whatsmeow.rows import DEVICE_TABLE, KINDS, LID_TABLE, MACS_TABLE, UNMAPPED
from tests.engine.conftest import BuildFile


def columns_of(connection: Connection, table: str) -> set[str]:
    """The columns the library gave a table."""
    return {str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")}


def connection_of(file: DeviceFile) -> Connection:
    """The connection inside a device file."""
    return file._connection


def test_every_table_of_the_library_is_mapped_or_left_out_for_a_reason(build_file: BuildFile) -> None:
    """A table that a new library adds fails this test instead of being lost."""
    rows = connection_of(build_file()).execute(
        "SELECT name FROM sqlite_master WHERE type='table' AND name LIKE 'whatsmeow%'"
    )

    mapped = {kind.table for kind in KINDS.values()} | {
        DEVICE_TABLE,
        LID_TABLE,
        MACS_TABLE,
        "whatsmeow_app_state_version",
    }
    assert {str(row[0]) for row in rows} == mapped | set(UNMAPPED)
    assert mapped.isdisjoint(UNMAPPED)


def test_every_column_of_a_mapped_table_is_mapped(build_file: BuildFile) -> None:
    """A column that a new library adds fails this test instead of being lost."""
    connection = connection_of(build_file())

    assert columns_of(connection, DEVICE_TABLE) == set(DEVICE_COLUMNS)
    for kind in KINDS.values():
        assert columns_of(connection, kind.table) == {kind.owner, *kind.key, *kind.columns}
    assert columns_of(connection, LID_TABLE) == {"lid", "pn"}
    assert columns_of(connection, "whatsmeow_app_state_version") == {"jid", "name", "version", "hash"}
    assert columns_of(connection, MACS_TABLE) == {"jid", "name", "version", "index_mac", "value_mac"}


@pytest.mark.parametrize("version", [(14, 8), (16, 8), (15, 9)])
def test_another_schema_version_is_refused_and_not_touched(
    sqlite: Sqlite, build_file: BuildFile, tmp_path: Path, version: tuple[int, int]
) -> None:
    """A file of another library version must not be changed."""
    file = build_file()
    connection_of(file).execute("UPDATE whatsmeow_version SET version = ?, compat = ?", version)
    file.close()
    before = file.path.read_bytes()

    with pytest.raises(UnknownSchema, match=re.escape(str(version))):
        open_file(sqlite, file.path)

    assert file.path.read_bytes() == before


def test_a_file_that_is_no_database_of_the_library_is_refused(connection: Connection) -> None:
    """Without whatsmeow's version table the file cannot be trusted."""
    with pytest.raises(UnknownSchema, match="None"):
        require_version(connection)


def test_the_template_is_what_the_library_makes(template: Template) -> None:
    """The statements come from the installed library, indexes included."""
    text = "\n".join(template.statements)

    assert "CREATE TABLE whatsmeow_device" in text
    assert "CREATE INDEX" in text
