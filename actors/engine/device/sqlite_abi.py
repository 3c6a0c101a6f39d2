"""Types and constants for declaring and calling SQLite's C interface."""

from __future__ import annotations

import ctypes
from typing import Any, Final

ADDRESS = ctypes.c_void_p
INT = ctypes.c_int
INT64 = ctypes.c_int64
BYTES = ctypes.c_char_p

Signatures = dict[str, tuple[Any, list[Any]]]
"""The types of the result and of the arguments, by the function's name."""

OK: Final = 0
"""The result of a function that succeeded."""

TRANSIENT: Final = ADDRESS(-1)
"""Passed with bytes that SQLite must copy."""
