"""What PostgreSQL's JSONB takes."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from config.json_text import read_json

_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def invalid_reason(value: bytes) -> str | None:
    """Why JSONB would refuse ``value``, or None: it is JSON and holds no NUL character."""
    try:
        read_json(value)
    except msgspec.DecodeError as exc:
        return f"it is not JSON ({type(exc).__name__})"
    if b"\\u0000" in value and _NUL.search(value):
        return "it holds a NUL character, which PostgreSQL does not store"
    return None


def top_level_names(value: bytes) -> frozenset[str]:
    """The names of the members when ``value`` is a JSON object; none otherwise."""
    try:
        return frozenset(read_json(value, dict[str, msgspec.Raw]))
    except msgspec.DecodeError:
        return frozenset()
