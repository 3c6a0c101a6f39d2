"""Checks of JSON before it is stored as PostgreSQL's JSONB."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from config.json_text import read_json

_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def invalid_reason(value: bytes) -> str | None:
    """Return why JSONB would refuse ``value``, or None when it is JSON without a NUL character."""
    try:
        read_json(value)
    except msgspec.DecodeError as exc:
        return f"it is not JSON ({type(exc).__name__})"
    if b"\\u0000" in value and _NUL.search(value):
        return "it holds a NUL character, which PostgreSQL does not store"
    return None


def top_level_names(value: bytes) -> frozenset[str]:
    """Return the names of the members when ``value`` is a JSON object; none otherwise."""
    try:
        return frozenset(read_json(value, dict[str, msgspec.Raw]))
    except msgspec.DecodeError:
        return frozenset()
