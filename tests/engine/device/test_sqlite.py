"""The library's own copy of SQLite, reached from Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from actors.engine.device.sqlite import Connection, Sqlite, SqlValue
from actors.engine.errors import SqliteError


@pytest.mark.parametrize(
    "value",
    [
        None,
        0,
        -1,
        2**63 - 1,
        -(2**63),
        "",
        "text",
        "nul\x00inside",
        "not utf-8: \udcff",
        b"",
        b"\x00\xff",
        b"x" * 100_000,
    ],
)
def test_values_come_back_as_they_were_bound(connection: Connection, value: SqlValue) -> None:
    """Each SQLite type keeps its type and its bytes."""
    connection.script("CREATE TABLE t (x)")

    connection.execute("INSERT INTO t VALUES (?)", (value,))

    assert connection.scalar("SELECT x FROM t") == value


def test_a_failed_transaction_leaves_nothing(connection: Connection) -> None:
    """An exception inside rolls everything back, and the connection goes on."""
    connection.script("CREATE TABLE t (x UNIQUE)")

    def insert_twice() -> None:
        with connection.transaction():
            connection.execute("INSERT INTO t VALUES (1)")
            connection.execute("INSERT INTO t VALUES (1)")

    with pytest.raises(SqliteError, match="UNIQUE"):
        insert_twice()

    assert connection.execute("SELECT x FROM t") == []


def test_two_connections_of_one_process_see_each_others_locks(
    connection: Connection, sqlite: Sqlite, tmp_path: Path
) -> None:
    """The reason for using the library's copy: a second writer gets "busy" and waits, instead of writing into the first one's work."""
    connection.script("PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
    other = sqlite.connect(tmp_path / "plain.db", busy_timeout_ms=10)

    with connection.transaction(), pytest.raises(SqliteError, match="locked"):
        other.execute("INSERT INTO t VALUES (1)")

    other.close()


def test_a_missing_file_is_an_error(sqlite: Sqlite, tmp_path: Path) -> None:
    """Opening never makes a file unless asked to."""
    with pytest.raises(SqliteError, match="unable to open"):
        sqlite.connect(tmp_path / "missing.db")

    assert list(tmp_path.iterdir()) == []


def test_a_path_with_odd_characters_is_that_path(sqlite: Sqlite, tmp_path: Path) -> None:
    """Question marks, percent and hash signs mean nothing in a file name."""
    path = tmp_path / "a?b%20c#d.db"

    sqlite.connect(path, create=True).script("CREATE TABLE t (x)")

    assert path.exists()


def test_a_closed_connection_says_so(connection: Connection) -> None:
    """Using it is an error, closing it again is not."""
    connection.close()
    connection.close()

    with pytest.raises(SqliteError, match="closed"):
        connection.execute("SELECT 1")


def test_more_statements_than_are_kept_work(connection: Connection) -> None:
    """The statement cache has a limit; an evicted statement is prepared again."""
    values = [connection.scalar(f"SELECT {number}") for number in range(200)]

    assert [*values, connection.scalar("SELECT 0")] == [*range(200), 0]


def test_an_error_names_what_sqlite_says(connection: Connection) -> None:
    """SQLite's own sentence and code reach the log."""
    with pytest.raises(SqliteError, match="no such table: missing"):
        connection.execute("SELECT * FROM missing")


MOST_BYTES: Final = 40_000
"""Two pages and the connection's own memory; all the pages it may keep would be 70,000, the small allocations 120,000."""

ALONE: Final = """
import sys
from ctypes import c_int64
from pathlib import Path
from actors.engine.whatsmeow.library import library_path
from actors.engine.device.sqlite import Sqlite
sqlite = Sqlite(str(library_path()))
used = sqlite.quick.sqlite3_memory_used
used.restype = c_int64
file = Path(sys.argv[1])
first = sqlite.connect(file, create=True)
"""
"""In a process of its own: SQLite counts the memory of the whole process."""

PER_CONNECTION: Final = """
first.script("CREATE TABLE t (x)")
before = used()
kept = [sqlite.connect(file) for _ in range(10)]
for connection in kept:
    connection.scalar("SELECT count(*) FROM t")
print((used() - before) // 10)
"""

AFTER_CHECKS: Final = """
first.script("".join(f"CREATE TABLE t{number} (x PRIMARY KEY, y UNIQUE);" for number in range(100)))
first.scalar("SELECT 1")
before = used()
assert [first.pragma("quick_check(1)") for _ in range(2)] == ["ok", "ok"]
print(used() - before)
"""


def printed(script: str, file: Path) -> int:
    """The number of bytes that a script prints."""
    command = [sys.executable, "-c", ALONE + script, str(file)]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def test_a_connection_takes_memory_for_what_it_reads_only(tmp_path: Path) -> None:
    """Not for all the pages it may keep, nor for later small allocations: each company has two, one of them the library's."""
    per_connection = printed(PER_CONNECTION, tmp_path / "file.db")

    print(f"{per_connection} bytes for a connection")
    assert per_connection < MOST_BYTES


def test_the_check_of_a_file_is_not_kept(tmp_path: Path) -> None:
    """It is prepared once, and its statement takes memory for each table and index: 75 KB a company."""
    more = printed(AFTER_CHECKS, tmp_path / "file.db")

    print(f"{more} bytes more after the check")
    assert more < MOST_BYTES
