"""The triggers of a device file, also in a file that an earlier version made."""

from __future__ import annotations

import time

import pytest

from actors.engine.device.sqlite import Connection
from actors.engine.device.triggers import install_triggers
from actors.engine.errors import SqliteError
from tests.engine.conftest import BuildFile
from tests.engine.rows import JID, PEER, put_session

EARLIER = """
    DROP TRIGGER wasup_session_guard;
    CREATE TRIGGER wasup_session_stale BEFORE UPDATE OF session ON whatsmeow_sessions
        BEGIN SELECT RAISE(ABORT, 'an earlier version''s'); END;
    DROP TRIGGER wasup_whatsmeow_sessions_moved_their_id;
    DROP TRIGGER wasup_whatsmeow_sessions_update;
    CREATE TRIGGER wasup_whatsmeow_sessions_update AFTER UPDATE ON whatsmeow_sessions BEGIN
        INSERT INTO wasup_journal (kind, k1, k2) SELECT 'earlier', NEW.their_id, NULL WHERE 1; END;
"""


def triggers_of(connection: Connection) -> dict[str, str]:
    """Every trigger of a file."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    return {str(name): str(sql) for name, sql in rows}


def test_a_file_of_an_earlier_version_gets_the_present_triggers(build_file: BuildFile) -> None:
    """At the session's beginning: none of the earlier ones is left."""
    file = build_file()
    present = triggers_of(file._connection)
    file._connection.script(EARLIER)
    assert triggers_of(file._connection) != present

    file.take_up(time.time())

    assert triggers_of(file._connection) == present
    put_session(file._connection, session=b"\x01")
    put_session(file._connection, session=b"\x02")
    assert file._connection.execute("SELECT DISTINCT kind FROM wasup_journal") == [("whatsmeow-session",)]


def test_a_file_that_has_them_is_not_written(build_file: BuildFile) -> None:
    """Each write to a schema makes every connection prepare its statements again."""
    connection = build_file()._connection
    before = connection.pragma("schema_version")

    install_triggers(connection)

    assert connection.pragma("schema_version") == before


def test_triggers_of_others_stay(build_file: BuildFile) -> None:
    """Only triggers with our names are ours."""
    connection = build_file()._connection
    connection.script("CREATE TRIGGER theirs AFTER DELETE ON whatsmeow_sessions BEGIN SELECT 1; END;" + EARLIER)

    install_triggers(connection)

    assert "theirs" in triggers_of(connection)


def test_triggers_change_all_or_none(build_file: BuildFile) -> None:
    """A statement that fails, here for a table that is gone, leaves the file as it was, and says what failed."""
    connection = build_file()._connection
    connection.script(EARLIER + "DROP TABLE whatsmeow_nct_salt")
    before = triggers_of(connection)

    with pytest.raises(SqliteError, match="whatsmeow_nct_salt"):
        install_triggers(connection)

    assert triggers_of(connection) == before


def test_a_key_that_moves_is_noted_under_both_names(build_file: BuildFile) -> None:
    """The record loses the old key and gets the new one."""
    file = build_file()
    put_session(file._connection)
    position = file.journal.position()

    file._connection.execute("UPDATE whatsmeow_sessions SET their_id = '2_1:0' WHERE our_jid = ?", (JID,))

    noted = file._connection.execute("SELECT k1 FROM wasup_journal WHERE seq > ?", (position,))
    assert sorted(str(key) for (key,) in noted) == sorted([PEER, "2_1:0"])
