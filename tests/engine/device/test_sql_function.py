"""A Python function in SQL: its arguments and results, and that it fails safe."""

from __future__ import annotations

import sys
import threading
from ctypes import c_int64
from pathlib import Path

import pytest

from actors.engine.device.session_guard import GUARD, STALE
from actors.engine.device.sql_function import Transition, offer
from actors.engine.device.sqlite import Connection, Sqlite, SqlValue
from actors.engine.errors import SqliteError
from tests.engine.conftest import BuildFile
from tests.engine.device.test_session_after import compact
from tests.engine.rows import JID, PEER, put_session
from tests.engine.sessions import chain, session, state

WITHIN_S = 60.0


def joined(old: bytes, new: bytes) -> bytes | None:
    """Distinguishable results: NULL for two empty values, `new` for no old one, both otherwise."""
    return None if not old and not new else old + new


def connected(sqlite: Sqlite, directory: Path, transition: Transition) -> Connection:
    """A connection that was opened after the function was offered."""
    offer(sqlite, "wasup_tried", transition)
    return sqlite.connect(directory / "tried.db", create=True)


def connected_with_guard(sqlite: Sqlite, path: Path, transition: Transition) -> Connection:
    """A connection to a device file whose guard calls another function."""
    offer(sqlite, "wasup_tried", transition)
    connection = sqlite.connect(path)
    connection.script(GUARD.replace("wasup_session_after(", "wasup_tried("))
    return connection


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        (b"a", b"b", b"ab"),
        (b"\x00", b"\xff\x00", b"\x00\xff\x00"),
        (b"x" * 100_000, b"y", b"x" * 100_000 + b"y"),
        (None, b"b", b"b"),
        (b"", b"b", b"b"),
        (None, "text", "text"),
        (b"a", "text", b"atext"),
        (None, None, None),
    ],
)
def test_values_come_and_go_as_bytes(
    sqlite: Sqlite, tmp_path: Path, old: SqlValue, new: SqlValue, result: SqlValue
) -> None:
    """NULL comes as no bytes, None becomes NULL, and a result equal to the new value has its type."""
    connection = connected(sqlite, tmp_path, joined)

    assert connection.scalar("SELECT wasup_tried(?, ?)", (old, new)) == result
    connection.close()


def test_an_exception_is_an_error_of_the_statement(sqlite: Sqlite, tmp_path: Path) -> None:
    """It names only the exception's type, since its text may contain a key, and the connection goes on."""

    def fail(_old: bytes, new: bytes) -> bytes:
        raise ValueError(new.decode())

    connection = connected(sqlite, tmp_path, fail)
    connection.script("CREATE TABLE t (x)")

    with pytest.raises(SqliteError, match="wasup: ValueError in an SQL function") as caught:
        connection.execute("INSERT INTO t VALUES (wasup_tried(x'', CAST('secret' AS BLOB)))")

    assert "secret" not in str(caught.value)
    assert connection.scalar("SELECT count(*) FROM t") == 0
    connection.close()


def test_what_is_no_ordinary_exception_gives_null(
    sqlite: Sqlite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No exception passes into C: it is reported as ignored, and there is no result."""

    def leave(_old: bytes, _new: bytes) -> bytes:
        raise SystemExit(3)

    ignored: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: ignored.append(found.exc_type))
    connection = connected(sqlite, tmp_path, leave)

    assert connection.scalar("SELECT wasup_tried(x'00', x'01')") is None
    assert ignored == [SystemExit]
    connection.close()


def test_a_function_that_cannot_be_offered_is_an_error(sqlite: Sqlite) -> None:
    """Otherwise every write of a session would fail later on: SQLite has no memory left here."""
    limit = sqlite.quick.sqlite3_hard_heap_limit64
    limit.restype, limit.argtypes = c_int64, [c_int64]
    before = limit(1)

    try:
        with pytest.raises(SqliteError, match="SQLite error 7: cannot offer the function wasup_tried"):
            offer(sqlite, "wasup_tried", joined)
    finally:
        limit(before)


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_a_guard_that_fails_refuses_the_write(
    sqlite: Sqlite, build_file: BuildFile, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Better no message than one encrypted with a key that was used before."""

    def fail(_old: bytes, _new: bytes) -> bytes:
        raise error

    path = build_file().path
    monkeypatch.setattr(sys, "unraisablehook", lambda _found: None)
    connection = sqlite.connect(path)
    put_session(connection, session=compact(session(state("b", chain("s", 3)))))
    before = connection.scalar("SELECT session FROM whatsmeow_sessions")
    connection.script("DROP TRIGGER wasup_session_guard")
    connection.close()
    connection = connected_with_guard(sqlite, path, fail)

    with pytest.raises(SqliteError, match="wasup: "):
        put_session(connection, session=compact(session(state("b", chain("s", 4)))))

    assert connection.scalar("SELECT session FROM whatsmeow_sessions") == before
    connection.close()


def test_threads_that_write_and_threads_that_hold_the_gil_do_not_lock_each_other_out(
    sqlite: Sqlite, build_file: BuildFile
) -> None:
    """The function waits for the GIL inside a transaction; code that holds the GIL never waits for that transaction."""
    path, rounds, failures = build_file().path, 200, list[BaseException]()

    def write(connection: Connection, peer: str) -> None:
        try:
            for index in range(rounds):
                put_session(connection, peer, compact(session(state("b", chain("s", index), chain("r", 0)))))
                connection.execute("SELECT ?, ?, ?", (index, "text", b"bytes"))
        except BaseException as error:  # noqa: BLE001 - reported below
            failures.append(error)

    connections = [sqlite.connect(path, busy_timeout_ms=60_000) for _ in range(2)]
    threads = [
        threading.Thread(target=write, args=(connections[number % 2], f"{number}_1:0"), daemon=True)
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WITHIN_S)

    assert not any(thread.is_alive() for thread in threads)
    assert failures == []
    for connection in connections:
        connection.close()


def test_a_connection_that_does_not_know_the_guard_writes_no_session(build_file: BuildFile) -> None:
    """A trigger whose function is missing, as after a downgrade, is an error and no silent write."""
    connection = build_file()._connection
    put_session(connection)
    sql = str(connection.scalar("SELECT sql FROM sqlite_master WHERE name = 'wasup_session_guard'"))
    connection.script("DROP TRIGGER wasup_session_guard;" + sql.replace("wasup_session_after(", "wasup_unknown("))

    with pytest.raises(SqliteError, match="no such function"):
        connection.execute(
            "UPDATE whatsmeow_sessions SET session = x'00' WHERE our_jid = ? AND their_id = ?", (JID, PEER)
        )


def test_the_refusal_is_told_in_the_words_the_engine_looks_for(build_file: BuildFile) -> None:
    """The library's error contains them, and the send is repeated."""
    connection, value = build_file()._connection, compact(session(state("b", chain("s", 3))))
    put_session(connection, session=value)

    with pytest.raises(SqliteError, match=STALE):
        put_session(connection, session=value)
