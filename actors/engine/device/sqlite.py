"""SQLite through the copy that is linked into the WhatsApp library.

Two copies of SQLite in one process do not see each other's locks (POSIX locks belong to the process), and a close by either drops the
locks of the other: with Python's ``sqlite3`` beside the Go library on one file, both would write at once. So device files are opened only
through the library's own copy, whose symbols it exports.
"""

from __future__ import annotations

import ctypes
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Final, final
from urllib.parse import quote

from actors.engine.device import sql_function
from actors.engine.device.session_guard import session_after
from actors.engine.device.sqlite_abi import ADDRESS, BYTES, INT, INT64, OK, TRANSIENT, Signatures
from actors.engine.errors import SqliteError, WriteFault

SqlValue = int | str | bytes | None

_ROW: Final = 100
_DONE: Final = 101
_OPEN_FLAGS: Final = 0x2 | 0x40 | 0x10000  # READWRITE | URI | FULLMUTEX
_CREATE: Final = 0x4
_CONFIG_PAGECACHE: Final = 7
_CONFIG_LOOKASIDE: Final = 13
_INTEGER: Final = 1
_FLOAT: Final = 2
_TEXT: Final = 3
_NULL: Final = 5
_STATEMENTS_KEPT: Final = 64

_IO_ERROR: Final = 10
_TAKES_NO_WRITE: Final = frozenset({8, 13, 14})
"""Read-only, full, and cannot open: the last when there was no room for the inode of a file beside the database."""

_READ_FAILED: Final = frozenset(_IO_ERROR | detail << 8 for detail in (1, 2, 33))
"""The input/output errors of reading, including a short read and a file system that has detected damage."""

CACHE_KIB: Final = 16
"""The page cache of a connection, in pages of 4 KiB. SQLite's default of 2,000 KiB would hold a whole device file in memory once per
connection; the kernel caches the pages as well, and a company's next message needs others."""

_SIGNATURES: Final[Signatures] = {
    "sqlite3_open_v2": (INT, [BYTES, ctypes.POINTER(ADDRESS), INT, BYTES]),
    "sqlite3_close_v2": (INT, [ADDRESS]),
    "sqlite3_busy_timeout": (INT, [ADDRESS, INT]),
    "sqlite3_extended_result_codes": (INT, [ADDRESS, INT]),
    "sqlite3_prepare_v2": (INT, [ADDRESS, BYTES, INT, ctypes.POINTER(ADDRESS), ctypes.POINTER(BYTES)]),
    "sqlite3_step": (INT, [ADDRESS]),
    "sqlite3_finalize": (INT, [ADDRESS]),
    "sqlite3_exec": (INT, [ADDRESS, BYTES, ADDRESS, ADDRESS, ADDRESS]),
}
"""Functions that may do input or output: called without the GIL."""

_QUICK_SIGNATURES: Final[Signatures] = {
    "sqlite3_reset": (INT, [ADDRESS]),
    "sqlite3_errmsg": (BYTES, [ADDRESS]),
    "sqlite3_extended_errcode": (INT, [ADDRESS]),
    "sqlite3_bind_int64": (INT, [ADDRESS, INT, INT64]),
    "sqlite3_bind_text": (INT, [ADDRESS, INT, BYTES, INT, ADDRESS]),
    "sqlite3_bind_blob": (INT, [ADDRESS, INT, BYTES, INT, ADDRESS]),
    "sqlite3_bind_zeroblob": (INT, [ADDRESS, INT, INT]),
    "sqlite3_bind_null": (INT, [ADDRESS, INT]),
    "sqlite3_column_count": (INT, [ADDRESS]),
    "sqlite3_column_type": (INT, [ADDRESS, INT]),
    "sqlite3_column_int64": (INT64, [ADDRESS, INT]),
    "sqlite3_column_blob": (ADDRESS, [ADDRESS, INT]),
    "sqlite3_column_bytes": (INT, [ADDRESS, INT]),
}
"""Functions that take less than a microsecond: called with the GIL held, which is several times cheaper than releasing it."""


@final
class Sqlite:
    """The functions of one copy of SQLite, whose connections have the SQL function that the triggers of device files call."""

    def __init__(self, library_path: str) -> None:
        self._slow = ctypes.CDLL(library_path)
        self._quick = ctypes.PyDLL(library_path)
        for name, (result, arguments) in (_SIGNATURES | sql_function.SIGNATURES).items():
            self._declare(self._slow, name, result, arguments)
        for name, (result, arguments) in (_QUICK_SIGNATURES | sql_function.QUICK_SIGNATURES).items():
            self._declare(self._quick, name, result, arguments)
        # SQLite refuses this, harmlessly, once the copy has opened a file. Saves 120 KiB per connection, the library's included.
        self._quick.sqlite3_config(_CONFIG_LOOKASIDE, 0, 0)
        # Likewise. Otherwise each connection would allocate all the pages it may keep on opening, though most keep few.
        self._quick.sqlite3_config(_CONFIG_PAGECACHE, None, 0, 0)
        sql_function.offer(self, "wasup_session_after", session_after)

    def connect(self, path: Path, *, create: bool = False, busy_timeout_ms: int = 5000) -> Connection:
        """Open a file. Raise SqliteError when it is missing (unless ``create``) or not a database."""
        handle = ADDRESS()
        flags = _OPEN_FLAGS | (_CREATE if create else 0)
        uri = f"file:{quote(str(path))}".encode()
        code = self._slow.sqlite3_open_v2(uri, ctypes.byref(handle), flags, None)
        if code != OK:
            text = f"cannot open the file: {self.text(handle)}"
            self._slow.sqlite3_close_v2(handle)
            raise error_of(code, text)
        self._slow.sqlite3_extended_result_codes(handle, 1)
        self._slow.sqlite3_busy_timeout(handle, busy_timeout_ms)
        self._slow.sqlite3_exec(handle, f"PRAGMA cache_size = -{CACHE_KIB}".encode(), None, None, None)
        return Connection(self, handle, busy_timeout_ms)

    def text(self, handle: Any) -> str:
        """Return SQLite's last message for a connection."""
        return bytes(self._quick.sqlite3_errmsg(handle) or b"").decode("utf-8", "replace")

    @property
    def slow(self) -> Any:
        return self._slow

    @property
    def quick(self) -> Any:
        return self._quick

    @staticmethod
    def _declare(library: Any, name: str, result: Any, arguments: list[Any]) -> None:
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments


@final
class Connection:
    """One connection, usable from any thread, one at a time: every method takes the connection's lock."""

    def __init__(self, sqlite: Sqlite, handle: Any, busy_timeout_ms: int) -> None:
        self._sqlite = sqlite
        self._busy_timeout_ms = busy_timeout_ms
        self._handle = handle
        self._lock = RLock()
        self._statements: dict[str, Any] = {}

    def script(self, sql: str) -> None:
        """Run statements without parameters."""
        with self._lock:
            self._check(self._sqlite.slow.sqlite3_exec(self._open_handle(), sql.encode(), None, None, None))

    def execute(self, sql: str, parameters: Sequence[SqlValue] = ()) -> list[tuple[SqlValue, ...]]:
        """Run one statement; return all its rows. Text columns that are not UTF-8 come with surrogate escapes."""
        with self._lock:
            statement = self._prepared(sql)
            try:
                self._bind(statement, parameters)
                return self._rows(statement)
            finally:
                self._sqlite.quick.sqlite3_reset(statement)

    def scalar(self, sql: str, parameters: Sequence[SqlValue] = ()) -> SqlValue:
        """Return the first column of the first row; None when there is no row."""
        rows = self.execute(sql, parameters)
        return rows[0][0] if rows else None

    def pragma(self, name: str) -> SqlValue:
        """Return SQLite's first value. The statement is not cached: a check of the file is as large as its schema, and runs once."""
        sql = f"PRAGMA {name}"
        with self._lock:
            try:
                return self.scalar(sql)
            finally:
                self._sqlite.slow.sqlite3_finalize(self._statements.pop(sql, None))

    @contextmanager
    def transaction(self, kind: str = "IMMEDIATE") -> Generator[None]:
        """Hold the connection for one transaction: committed at the end, rolled back on an exception."""
        with self._lock:
            self.execute(f"BEGIN {kind}")
            try:
                yield
                self.execute("COMMIT")
            except BaseException:
                self._sqlite.slow.sqlite3_exec(self._handle, b"ROLLBACK", None, None, None)
                raise

    def empty_log(self) -> bool:
        """Copy the write-ahead log into the database and truncate it; return False when another connection was using it."""
        with self._lock:
            self._sqlite.slow.sqlite3_busy_timeout(self._open_handle(), 0)
            try:
                return self.pragma("wal_checkpoint(TRUNCATE)") == 0
            except SqliteError:
                return False
            finally:
                self._sqlite.slow.sqlite3_busy_timeout(self._open_handle(), self._busy_timeout_ms)

    def close(self) -> None:
        """Close; a second call does nothing."""
        with self._lock:
            if self._handle is None:
                return
            for statement in self._statements.values():
                self._sqlite.slow.sqlite3_finalize(statement)
            self._statements.clear()
            self._sqlite.slow.sqlite3_close_v2(self._handle)
            self._handle = None

    def _open_handle(self) -> Any:
        if self._handle is None:
            raise SqliteError(21, "the connection is closed")
        return self._handle

    def _prepared(self, sql: str) -> Any:
        statement = self._statements.get(sql)
        if statement is None:
            statement = ADDRESS()
            self._check(
                self._sqlite.slow.sqlite3_prepare_v2(
                    self._open_handle(), sql.encode(), -1, ctypes.byref(statement), None
                )
            )
            if len(self._statements) >= _STATEMENTS_KEPT:
                self._sqlite.slow.sqlite3_finalize(self._statements.pop(next(iter(self._statements))))
            self._statements[sql] = statement
        return statement

    def _bind(self, statement: Any, parameters: Sequence[SqlValue]) -> None:
        quick = self._sqlite.quick
        for index, value in enumerate(parameters, 1):
            if value is None:
                code = quick.sqlite3_bind_null(statement, index)
            elif isinstance(value, int):
                code = quick.sqlite3_bind_int64(statement, index, value)
            elif isinstance(value, str):
                raw = value.encode("utf-8", "surrogateescape")
                code = quick.sqlite3_bind_text(statement, index, raw, len(raw), TRANSIENT)
            elif value:
                code = quick.sqlite3_bind_blob(statement, index, value, len(value), TRANSIENT)
            else:
                code = quick.sqlite3_bind_zeroblob(statement, index, 0)
            self._check(code)

    def _rows(self, statement: Any) -> list[tuple[SqlValue, ...]]:
        rows: list[tuple[SqlValue, ...]] = []
        columns = range(self._sqlite.quick.sqlite3_column_count(statement))
        while (code := self._sqlite.slow.sqlite3_step(statement)) == _ROW:
            rows.append(tuple(self._column(statement, index) for index in columns))
        if code != _DONE:
            self._check(code)
        return rows

    def _column(self, statement: Any, index: int) -> SqlValue:
        quick = self._sqlite.quick
        kind = quick.sqlite3_column_type(statement, index)
        if kind == _NULL:
            return None
        if kind in {_INTEGER, _FLOAT}:
            return int(quick.sqlite3_column_int64(statement, index))
        address = quick.sqlite3_column_blob(statement, index)
        data = ctypes.string_at(address, quick.sqlite3_column_bytes(statement, index)) if address else b""
        return data.decode("utf-8", "surrogateescape") if kind == _TEXT else data

    def _check(self, code: int) -> None:
        if code != OK:
            raise error_of(code, self._sqlite.text(self._handle))


def error_of(code: int, text: str) -> SqliteError:
    """Return the error for an extended result code other than `OK`."""
    primary = code & 0xFF
    is_write = primary in _TAKES_NO_WRITE or (primary == _IO_ERROR and code not in _READ_FAILED)
    return WriteFault(code, text) if is_write else SqliteError(code, text)
