"""What calls of SQLite's C interface are declared with and made of."""

from __future__ import annotations

import ctypes
from typing import Any, Final

ADDRESS = ctypes.c_void_p
INT = ctypes.c_int
INT64 = ctypes.c_int64
BYTES = ctypes.c_char_p

Signatures = dict[str, tuple[Any, list[Any]]]
"""The result's type and the arguments', by the function's name."""

OK: Final = 0
"""What a function returns that did what it should."""

TRANSIENT: Final = ADDRESS(-1)
"""Given with bytes: they are not ours to keep, SQLite takes a copy."""
