"""Device files: built from the record, taken up again, or found unusable."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from actors.engine.device import file as module
from actors.engine.device.event_spool import Item
from actors.engine.device.file import DeviceFile, Ending, build, fault_of, open_file
from actors.engine.device.schema import Template
from actors.engine.device.sqlite import Sqlite
from actors.engine.errors import BadAuthState, DamagedFile
from storage.whatsmeow.rows import MACS_TABLE
from tests.engine.conftest import BuildFile
from tests.engine.rows import (
    DEVICE,
    JID,
    LID,
    SESSION,
    all_rows,
    creds,
    insert,
    put_identity,
    put_pre_keys,
    put_session,
)
from tests.support.bars import patience


def fill(connection: object) -> None:
    """At least one row in every mapped table."""
    from actors.engine.device.sqlite import Connection

    assert isinstance(connection, Connection)
    put_identity(connection)
    put_session(connection)
    put_pre_keys(connection, 1, 3)
    connection.execute("UPDATE whatsmeow_pre_keys SET uploaded = 1 WHERE key_id <= 2")
    insert(
        connection,
        "whatsmeow_sender_keys",
        our_jid=JID,
        chat_id="1@g.us",
        sender_id="100000000000002_1:0",
        sender_key=b"sender",
    )
    insert(
        connection,
        "whatsmeow_app_state_sync_keys",
        jid=JID,
        key_id=b"\x00\xff",
        key_data=b"d" * 32,
        timestamp=5,
        fingerprint=b"\x08\x01",
    )
    insert(connection, "whatsmeow_app_state_version", jid=JID, name="regular", version=3, hash=b"h" * 128)
    insert(connection, MACS_TABLE, jid=JID, name="regular", version=2, index_mac=b"i" * 32, value_mac=b"u" * 32)
    insert(connection, MACS_TABLE, jid=JID, name="regular", version=3, index_mac=b"i" * 32, value_mac=b"v" * 32)
    insert(connection, "whatsmeow_contacts", our_jid=JID, their_jid="2@lid", push_name="nul\x00", full_name="Full")
    insert(connection, "whatsmeow_chat_settings", our_jid=JID, chat_jid="2@lid", muted_until=9, pinned=1, archived=0)
    insert(
        connection,
        "whatsmeow_privacy_tokens",
        our_jid=JID,
        their_jid="2@lid",
        token=b"t",
        timestamp=7,
        sender_timestamp=None,
    )
    insert(connection, "whatsmeow_nct_salt", our_jid=JID, salt=b"salt")
    insert(connection, "whatsmeow_lid_map", lid="2", pn="79000000002")


def test_a_file_rebuilt_from_what_was_shipped_has_the_same_rows(
    sqlite: Sqlite, template: Template, build_file: BuildFile, tmp_path: Path
) -> None:
    """Linking, traffic, journal, record, a new file: row by row as the library had written it."""
    first = build_file(linked=False)
    insert(first._connection, "whatsmeow_device", **DEVICE)
    fill(first._connection)
    batch = first.journal.read(0)
    assert batch is not None

    keys = [(key_type, key_id, value) for key_type, key_id, value in batch.changes if value is not None]
    second, left_out = build(sqlite, template, tmp_path / "again.db", batch.creds, keys, [])

    assert left_out == []
    assert all_rows(second._connection) == all_rows(first._connection)
    second.close()


def test_a_file_without_creds_is_an_unlinked_company(build_file: BuildFile) -> None:
    """No device, no disconnect, a journal at zero."""
    file = build_file(linked=False)

    assert (file.identity(), file.ending(), file.journal.position()) == (None, None, 0)


def test_a_file_knows_its_device(build_file: BuildFile) -> None:
    """JID, LID and push name come from the device row."""
    identity = build_file().identity()

    assert identity is not None
    assert (identity.jid, identity.lid, identity.push_name) == (JID, LID, "Name")


def test_each_new_file_has_an_id_of_its_own(build_file: BuildFile) -> None:
    """Postgres tells files apart by their ids."""
    first = build_file().file_id

    assert build_file().file_id != first


def test_creds_that_cannot_be_used_leave_the_old_file(
    sqlite: Sqlite, template: Template, build_file: BuildFile
) -> None:
    """Bad input gets a clear error and changes nothing."""
    file = build_file()

    with pytest.raises(BadAuthState, match="creds"):
        build(sqlite, template, file.path, b'{"me":{}}', [], [])

    again = open_file(sqlite, file.path)
    assert again is not None
    assert again.file_id == file.file_id
    again.close()


def test_creds_that_do_not_fit_the_schema_leave_the_old_file(
    sqlite: Sqlite, template: Template, build_file: BuildFile
) -> None:
    """Values that SQLite's checks refuse are refused as a whole."""
    file = build_file()
    wrong = creds().replace(b'"registrationId":42', b'"registrationId":-1')

    with pytest.raises(BadAuthState, match="does not fit"):
        build(sqlite, template, file.path, wrong, [], [])

    assert file.path.exists()
    assert not file.path.with_name(file.path.name + ".new").exists()


def test_a_session_go_would_crash_on_is_left_out(sqlite: Sqlite, template: Template, tmp_path: Path) -> None:
    """One malformed session must not end a process with fifty companies in it; a missing one is negotiated anew."""
    buffer = b'{"type":"Buffer","data":"eyJTZXNzaW9uU3RhdGUiOm51bGx9"}'  # {"SessionState":null}
    keys = [("whatsmeow-session", "100000000000002_1:0", buffer), ("lid-mapping", "79000000002", b'"2"')]

    file, left_out = build(sqlite, template, tmp_path / "x.db", creds(), keys, [])

    assert left_out == ["whatsmeow-session: a session state is missing"]
    assert file._connection.scalar("SELECT count(*) FROM whatsmeow_lid_map") == 1
    assert file._connection.scalar("SELECT count(*) FROM whatsmeow_sessions") == 0
    file.close()


def test_contradicting_lid_mappings_keep_the_first(sqlite: Sqlite, template: Template, tmp_path: Path) -> None:
    """Two directions that disagree are no reason to refuse a company."""
    keys = [("lid-mapping", "79000000002", b'"2"'), ("lid-mapping", "3_reverse", b'"79000000002"')]

    file, left_out = build(sqlite, template, tmp_path / "x.db", creds(), keys, [])

    assert left_out == []
    assert file._connection.execute("SELECT lid, pn FROM whatsmeow_lid_map") == [("2", "79000000002")]
    file.close()


def test_a_rebuilt_file_takes_over_unsent_events(build_file: BuildFile) -> None:
    """Events that were never stored stay unsent, with their numbers; their ratchet steps have been in the record for long."""
    file = build_file(event_spool=[Item(7, "message", b"{}", 99)])

    assert file.event_spool.all() == [Item(7, "message", b"{}", 0)]
    file.event_spool.put("receipt", b"{}")
    assert [item.number for item in file.event_spool.read(7)] == [8]


@pytest.mark.parametrize(
    ("file_id", "position", "fault"),
    [("same", 0, None), ("same", 3, None), ("same", 4, "behind"), ("other", 0, "foreign"), (None, 0, "foreign")],
)
def test_a_file_is_used_only_if_it_is_the_recorded_one_and_not_behind(
    build_file: BuildFile, file_id: str | None, position: int, fault: str | None
) -> None:
    """A file of an earlier identity, or from an old backup, is rebuilt."""
    file = build_file()
    put_pre_keys(file._connection, 1, 3)

    assert fault_of(file, file.file_id if file_id == "same" else file_id, position) == fault


DAY_S = 86_400.0
MAPPINGS = [("lid-mapping", "79000000002", b'"2"'), ("lid-mapping", "2_reverse", b'"79000000002"')]


def shipped_on_reuse(file: DeviceFile, days: float) -> list[tuple[str, str, bytes | None]]:
    """What a session ships that begins that many days after the last one began, with nothing changed in between."""
    file.take_up(time.time() + days * DAY_S)
    batch = file.journal.read(0)
    return [] if batch is None else sorted(batch.changes)


@pytest.mark.parametrize(
    ("days", "expected"),
    [(0.0, []), (2.9, []), (3.1, sorted(MAPPINGS)), (30.0, sorted(MAPPINGS)), (-1.0, sorted(MAPPINGS))],
)
def test_mappings_that_may_have_expired_in_the_record_are_shipped_again(
    build_file: BuildFile, days: float, expected: list[tuple[str, str, bytes]]
) -> None:
    """After days without a session, or with a clock that went back; not after every restart."""
    assert shipped_on_reuse(build_file(MAPPINGS), days) == expected


def test_sessions_that_begin_every_day_ship_no_mappings_again(build_file: BuildFile) -> None:
    """The record's own refreshing is enough for these."""
    file = build_file(MAPPINGS)
    for day in range(1, 20):
        file.take_up(time.time() + day * DAY_S)

    assert file.journal.read(0) is None


def test_a_missing_file_is_none(sqlite: Sqlite, tmp_path: Path) -> None:
    """And looking for it does not make it."""
    assert open_file(sqlite, tmp_path / "missing.db") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 4000])
def test_a_file_that_is_no_database_is_damaged(sqlite: Sqlite, tmp_path: Path, content: bytes) -> None:
    """It is reported as damaged, so that it is rebuilt from the record."""
    path = tmp_path / "x.db"
    path.write_bytes(content)

    with pytest.raises(DamagedFile):
        open_file(sqlite, path)


def _empty(file: DeviceFile) -> None:
    file.path.write_bytes(b"")


def _without(table: str) -> Callable[[DeviceFile], None]:
    def make(file: DeviceFile) -> None:
        with closing(sqlite3.connect(file.path)) as connection:
            connection.execute(f"DROP TABLE {table}")
            connection.commit()

    return make


def _without_version(file: DeviceFile) -> None:
    with closing(sqlite3.connect(file.path)) as connection:
        connection.execute("DELETE FROM whatsmeow_version")
        connection.commit()


def _directory(file: DeviceFile) -> None:
    file.path.unlink()
    file.path.mkdir()
    (file.path / "something").write_bytes(b"of somebody's")


def _pipe(file: DeviceFile) -> None:
    file.path.unlink()
    os.mkfifo(file.path)


def _directory_beside(file: DeviceFile) -> None:
    file.path.with_name(file.path.name + "-wal").mkdir()


UNUSABLE = {
    "empty": _empty,
    "no version": _without_version,
    "no version table": _without("whatsmeow_version"),
    "no table of the library": _without("whatsmeow_lid_map"),
    "no journal": _without("wasup_journal"),
    "no event spool": _without("wasup_outbox"),
    "no notes": _without("wasup_meta"),
    "a directory": _directory,
    "a pipe": _pipe,
    "a directory beside it": _directory_beside,
}


@pytest.mark.parametrize("make", UNUSABLE.values(), ids=UNUSABLE)
def test_what_is_no_whole_device_file_is_rebuilt(
    sqlite: Sqlite, template: Template, build_file: BuildFile, make: Callable[[DeviceFile], None]
) -> None:
    """It is damaged, in whatever way, and a new file takes its place; a directory is moved aside with its content."""
    file = build_file()
    file.close()
    make(file)

    with pytest.raises(DamagedFile):
        open_file(sqlite, file.path)
    rebuilt, _ = build(sqlite, template, file.path, creds(), (), ())
    identity = rebuilt.identity()
    rebuilt.close()

    assert identity is not None
    assert [path.read_bytes() for path in file.path.parent.glob("*.aside-*/something")] == (
        [b"of somebody's"] if make is _directory else []
    )


def test_the_events_of_a_damaged_file_are_kept(sqlite: Sqlite, build_file: BuildFile) -> None:
    """WhatsApp has heard that they arrived, and does not send them again."""
    file = build_file()
    file.event_spool.put("message", b"arrived")
    file.close()
    _without("whatsmeow_version")(file)

    with pytest.raises(DamagedFile) as caught:
        open_file(sqlite, file.path)

    assert [item.payload for item in caught.value.event_spool] == [b"arrived"]


def test_a_torn_database_is_damaged(sqlite: Sqlite, build_file: BuildFile) -> None:
    """Pages overwritten in the middle are detected before the library reads them."""
    file = build_file()
    put_pre_keys(file._connection, 1, 200)
    file._connection.script("PRAGMA wal_checkpoint(TRUNCATE)")
    file.close()
    content = bytearray(file.path.read_bytes())
    content[8192:-4096] = b"\x00" * (len(content) - 12288)
    file.path.write_bytes(content)

    with pytest.raises(DamagedFile):
        open_file(sqlite, file.path)


def test_a_file_is_announced_once_something_of_it_was_committed(build_file: BuildFile) -> None:
    """Until then Postgres may have no record of it."""
    file = build_file()
    before = file.is_announced()

    file.cut(0)

    assert (before, file.is_announced()) == (False, True)


def test_an_ending_is_remembered(sqlite: Sqlite, build_file: BuildFile) -> None:
    """It is reported again until the daemon has archived the credentials, also after a crash."""
    file = build_file()
    file.end(Ending("logged_out", 403, "locked"))
    file.close()

    again = open_file(sqlite, file.path)

    assert again is not None
    assert again.ending() == Ending("logged_out", 403, "locked")
    again.close()


@pytest.mark.parametrize("linked_here", [True, False])
def test_a_device_that_disappeared_counts_as_logged_out(build_file: BuildFile, *, linked_here: bool) -> None:
    """A crash between whatsmeow's deletion and our note loses nothing: a file whose device is gone counts as logged out."""
    file = build_file(linked=not linked_here)
    if linked_here:
        insert(file._connection, "whatsmeow_device", **DEVICE)

    file._connection.execute("DELETE FROM whatsmeow_device")

    ending = file.ending()
    assert ending is not None
    assert (ending.kind, ending.code) == ("logged_out", 401)


def test_old_message_secrets_are_dropped(build_file: BuildFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library keeps one for every message for ever; the newest are enough."""
    monkeypatch.setattr(module, "KEPT_MESSAGE_SECRETS", 3)
    file = build_file()
    put_message_secrets(file, 10)

    file.trim()

    assert message_secrets(file) == ["7", "8", "9"]


def test_a_session_that_is_never_closed_drops_them_too(build_file: BuildFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Months of messages through one open file: they are deleted whenever its log has grown and is emptied."""
    monkeypatch.setattr(module, "KEPT_MESSAGE_SECRETS", 3)
    file = build_file()
    put_message_secrets(file, 2000)

    assert file.shorten_log()

    assert message_secrets(file) == ["1997", "1998", "1999"]


def put_message_secrets(file: DeviceFile, count: int) -> None:
    """Insert one for each message, as the library does."""
    for number in range(count):
        insert(
            file._connection,
            "whatsmeow_message_secrets",
            our_jid=JID,
            chat_jid="2@lid",
            sender_jid="2@lid",
            message_id=str(number),
            key=b"k",
        )


def message_secrets(file: DeviceFile) -> list[str]:
    """The messages that have a secret."""
    return [str(row[0]) for row in file._connection.execute("SELECT message_id FROM whatsmeow_message_secrets")]


def test_a_session_from_the_record_is_in_the_file(build_file: BuildFile) -> None:
    """Sound values arrive byte for byte."""
    import base64

    value = b'{"type":"Buffer","data":"' + base64.b64encode(SESSION) + b'"}'

    file = build_file([("whatsmeow-session", "100000000000002_1:0", value)])

    assert file._connection.execute("SELECT our_jid, their_id, session FROM whatsmeow_sessions") == [
        (JID, "100000000000002_1:0", SESSION)
    ]


def log_of(file: DeviceFile) -> int:
    """The size of its write-ahead log."""
    return file.path.with_name(file.path.name + "-wal").stat().st_size


def test_a_grown_write_ahead_log_is_emptied(build_file: BuildFile) -> None:
    """All content stays, in the database; a short log is left alone."""
    file = build_file()
    put_pre_keys(file._connection, 1, 10)
    assert not file.shorten_log()
    put_pre_keys(file._connection, 11, 800)
    before = log_of(file)
    rows = all_rows(file._connection)

    assert file.shorten_log()
    assert before > module.LOG_BYTES > log_of(file) == 0
    assert all_rows(file._connection) == rows


def test_a_log_in_use_is_emptied_another_time(build_file: BuildFile, sqlite: Sqlite) -> None:
    """The library is writing at this moment: neither side waits for the other."""
    file = build_file()
    put_pre_keys(file._connection, 1, 800)
    other = sqlite.connect(file.path)
    try:
        with other.transaction():
            put_identity(other)
            began = time.monotonic()
            assert not file.shorten_log()
            assert time.monotonic() - began < patience(2.0)
    finally:
        other.close()

    assert file.shorten_log()


def test_a_file_that_others_may_read_is_made_private(build_file: BuildFile, sqlite: Sqlite) -> None:
    """As earlier releases left them: the file, and SQLite's files beside it."""
    file = build_file()
    file.close()
    path = file.path
    beside = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
    for each in beside:
        each.touch()
        each.chmod(0o644)
    opened = open_file(sqlite, path)
    assert opened is not None
    modes = {each.name: oct(each.stat().st_mode & 0o777) for each in beside if each.exists()}
    opened.close()

    assert set(modes.values()) == {"0o600"}
