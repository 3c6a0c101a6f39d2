"""An SQL function of ours on every connection in this process, the WhatsApp library's own included.

SQLite calls the function on the thread that runs the statement, mostly one of the library's, which holds that connection's mutex and often
the file's write lock while it waits for the GIL. This cannot deadlock, since a thread that holds the GIL never waits for either:

- Our own statements run, and wait for file locks, without the GIL (`sqlite3_step` and the like).
- Calls with the GIL held take only the mutex of one of our own connections, under `Connection`'s lock, so that no other thread is in a
  statement of that connection; or a mutex of SQLite's that is held for a few instructions and never during a callback.
- The function takes no lock: it is computed from its arguments.

It fails safe: the result is NULL until one is set, and an exception becomes SQLite's error; either way the write does not happen.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final, Protocol

from actors.engine.device.sqlite_abi import ADDRESS, BYTES, INT, OK, TRANSIENT, Signatures
from actors.engine.errors import SqliteError

_FUNCTION = ctypes.CFUNCTYPE(None, ADDRESS, INT, ctypes.POINTER(ADDRESS))
_ENTRY_POINT = ctypes.CFUNCTYPE(INT, ADDRESS, ADDRESS, ADDRESS)

_FLAGS: Final = 0x1 | 0x800 | 0x200000  # UTF8 | DETERMINISTIC | INNOCUOUS

SIGNATURES: Final[Signatures] = {"sqlite3_auto_extension": (INT, [_ENTRY_POINT])}
"""Functions to call without the GIL."""

QUICK_SIGNATURES: Final[Signatures] = {
    "sqlite3_create_function_v2": (INT, [ADDRESS, BYTES, INT, INT, ADDRESS, _FUNCTION, ADDRESS, ADDRESS, ADDRESS]),
    "sqlite3_value_blob": (ADDRESS, [ADDRESS]),
    "sqlite3_value_bytes": (INT, [ADDRESS]),
    "sqlite3_result_value": (None, [ADDRESS, ADDRESS]),
    "sqlite3_result_blob": (None, [ADDRESS, BYTES, INT, ADDRESS]),
    "sqlite3_result_error": (None, [ADDRESS, BYTES, INT]),
}
"""Functions to call with the GIL held."""

Transition = Callable[[bytes, bytes], bytes | None]
"""Computes the value to store from the old and the new one; None is NULL."""


class Functions(Protocol):
    """The two ways to call a copy of SQLite, with and without the GIL (actors/engine/device/sqlite.py)."""

    @property
    def slow(self) -> Any: ...
    @property
    def quick(self) -> Any: ...


def offer(sqlite: Functions, name: str, transition: Transition) -> None:
    """Add the function ``name(old, new)`` to every connection that any code in the process opens from now on; NULL is read as no bytes.

    A result that equals ``new`` is ``new`` itself, whatever its type. The callbacks live as long as the process. Raise `SqliteError`
    when SQLite refuses the function.
    """
    function = _FUNCTION(_called(sqlite.quick, transition))
    create = sqlite.quick.sqlite3_create_function_v2

    def entry(connection: int, _error: int, _routines: int) -> int:
        return int(create(connection, name.encode(), 2, _FLAGS, None, function, None, None, None))

    entry_point = _ENTRY_POINT(entry)
    # The entry point, and what it refers to, is never freed: SQLite keeps its address for good.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(entry_point))
    code = sqlite.slow.sqlite3_auto_extension(entry_point)
    if code != OK:
        raise SqliteError(code, f"cannot offer the function {name}")


def _called(quick: Any, transition: Transition) -> Callable[[int, int, Any], None]:
    def call(context: int, _count: int, values: Any) -> None:
        try:
            old, new = _bytes(quick, values[0]), _bytes(quick, values[1])
            _answer(quick, context, transition(old, new), new, values[1])
        except Exception as error:  # noqa: BLE001 - nothing may pass into C; the text goes no further than the type: values are keys
            quick.sqlite3_result_error(context, f"wasup: {type(error).__name__} in an SQL function".encode(), -1)

    return call


def _bytes(quick: Any, value: int) -> bytes:
    address = quick.sqlite3_value_blob(value)
    return ctypes.string_at(address, quick.sqlite3_value_bytes(value)) if address else b""


def _answer(quick: Any, context: int, result: bytes | None, new: bytes, value: int) -> None:
    if result == new:
        quick.sqlite3_result_value(context, value)
    elif result is not None:
        quick.sqlite3_result_blob(context, result, len(result), TRANSIENT)
