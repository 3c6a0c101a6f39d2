"""A function of ours in SQL, which every connection in this process has, the WhatsApp library's own included.

SQLite calls it on the thread that runs the statement, mostly one of the library's, with that connection's mutex and often the file's
write lock held; there it waits for the GIL. No deadlock can come of it, since whoever holds the GIL never waits for either:

- Statements of our own run, and wait for locks of files, without the GIL (`sqlite3_step` and the like).
- What is called with the GIL held takes the mutex of one of our own connections only, under `Connection`'s lock, so no other thread is in
  a statement of that connection; or a mutex of SQLite's that is held for some instructions and never while something is called.
- The function takes no lock: it is computed from its arguments.

It fails safe. The result is NULL until one is set, and an exception is SQLite's error: either way the write does not happen.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final, Protocol

_P = ctypes.c_void_p
_INT = ctypes.c_int

_FUNCTION = ctypes.CFUNCTYPE(None, _P, _INT, ctypes.POINTER(_P))
_ENTRY_POINT = ctypes.CFUNCTYPE(_INT, _P, _P, _P)

_FLAGS: Final = 0x1 | 0x800 | 0x200000  # UTF8 | DETERMINISTIC | INNOCUOUS

SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {"sqlite3_auto_extension": (_INT, [_ENTRY_POINT])}
"""To be called without the GIL."""

QUICK_SIGNATURES: Final[dict[str, tuple[Any, list[Any]]]] = {
    "sqlite3_create_function_v2": (_INT, [_P, ctypes.c_char_p, _INT, _INT, _P, _FUNCTION, _P, _P, _P]),
    "sqlite3_value_blob": (_P, [_P]),
    "sqlite3_value_bytes": (_INT, [_P]),
    "sqlite3_result_value": (None, [_P, _P]),
    "sqlite3_result_blob": (None, [_P, ctypes.c_char_p, _INT, _P]),
    "sqlite3_result_error": (None, [_P, ctypes.c_char_p, _INT]),
}
"""To be called with the GIL held."""

_TRANSIENT: Final = _P(-1)

Transition = Callable[[bytes, bytes], bytes | None]
"""What becomes of a value over which another is written; None is NULL."""


class Functions(Protocol):
    """Both ways to call a copy of SQLite (actors/engine/sqlite.py)."""

    @property
    def slow(self) -> Any: ...
    @property
    def quick(self) -> Any: ...


def offer(sqlite: Functions, name: str, transition: Transition) -> None:
    """Give every connection opened from now on, by whomever, the function ``name(old, new)``; NULL is read as no bytes.

    A result that equals ``new`` is ``new`` itself, whatever its type. Its callbacks stay for as long as the process.
    """
    function = _FUNCTION(_called(sqlite.quick, transition))
    create = sqlite.quick.sqlite3_create_function_v2

    def entry(connection: int, _error: int, _routines: int) -> int:
        return int(create(connection, name.encode(), 2, _FLAGS, None, function, None, None, None))

    entry_point = _ENTRY_POINT(entry)
    # It, and thereby what it refers to, is never freed: SQLite keeps its address for good.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(entry_point))
    sqlite.slow.sqlite3_auto_extension(entry_point)


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
        quick.sqlite3_result_blob(context, result, len(result), _TRANSIENT)
