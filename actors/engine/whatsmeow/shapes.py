"""Turns a part of a message into JSON: by named paths when its kind is known, field by field otherwise. Pure; reads protobuf objects.

Binary fields (keys, hashes, small pictures) never leave this module. Lists have at most `MAX_ROWS` entries and texts `MAX_CHARACTERS`;
a part of unknown kind has at most `MAX_VALUES` values in all, `MAX_DEPTH` deep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MAX_ROWS: Final = 32
MAX_CHARACTERS: Final = 1024
MAX_VALUES: Final = 128
MAX_DEPTH: Final = 6

_KEY: Final = "WACommon.MessageKey"
_BYTES: Final = 12
"""The descriptor's number of the type ``bytes``."""

Fields = Mapping[str, "str | tuple[str, Fields]"]
"""JSON names, and where their values are: a path ``a.b``, alternatives ``a.b|c``, or of a list ``(path, fields of an entry)``. A
message key becomes the id of its message, an enumeration the name of its value in small letters."""


def described(content: Any, fields: Fields) -> dict[str, Any]:
    """Return the values of ``fields`` that ``content`` has."""
    found = {name: _value(content, where) for name, where in fields.items()}
    return {name: value for name, value in found.items() if value is not None}


def text_at(content: Any, path: str) -> str:
    """Return the first text of ``path``'s alternatives that is not empty; for a list, all its texts in lines."""
    for one in path.split("|"):
        found = _text_at(content, one.split("."))
        if found:
            return found
    return ""


def rendered(content: Any) -> dict[str, Any]:
    """Return every field of ``content`` except binary ones under the protobuf's own names, bounded."""
    return _rendered(content, MAX_DEPTH, [MAX_VALUES])


def _text_at(content: Any, parts: list[str]) -> str:
    for number, part in enumerate(parts):
        if content.DESCRIPTOR.fields_by_name[part].is_repeated:
            rest = parts[number + 1 :]
            entries = [_text_at(entry, rest) for entry in getattr(content, part)[:MAX_ROWS]]
            return "\n".join(entry for entry in entries if entry)
        content = getattr(content, part)
    return str(content)


def _value(content: Any, where: str | tuple[str, Fields]) -> Any:
    path, inner = (where, None) if isinstance(where, str) else where
    for one in path.split("|"):
        *parents, last = one.split(".")
        owner = content
        for parent in parents:
            owner = getattr(owner, parent)
        if (found := _field(owner, last, inner)) is not None:
            return found
    return None


def _field(owner: Any, name: str, inner: Fields | None) -> Any:
    descriptor = owner.DESCRIPTOR.fields_by_name[name]
    value = getattr(owner, name)
    if descriptor.is_repeated:
        rows = [described(row, inner) if inner is not None else _plain(descriptor, row) for row in value[:MAX_ROWS]]
        return rows or None
    return _plain(descriptor, value) if owner.HasField(name) else None


def _plain(descriptor: Any, value: Any) -> Any:
    if descriptor.enum_type is not None:
        named = descriptor.enum_type.values_by_number.get(value)
        return str(value) if named is None else named.name.lower()
    if descriptor.message_type is not None:
        return (value.ID if descriptor.message_type.full_name == _KEY else None) or None
    return value[:MAX_CHARACTERS] if isinstance(value, str) else value


def _rendered(content: Any, depth: int, left: list[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for descriptor, value in content.ListFields():
        if descriptor.type == _BYTES or left[0] <= 0:
            continue
        left[0] -= 1
        shown = _shown(descriptor, value, depth, left)
        if shown is not None:
            found[descriptor.name] = shown
    return found


def _shown(descriptor: Any, value: Any, depth: int, left: list[int]) -> Any:
    if not descriptor.is_repeated:
        return _one(descriptor, value, depth, left)
    if descriptor.message_type is not None and descriptor.message_type.GetOptions().map_entry:
        return None
    rows = value[: min(MAX_ROWS, max(0, left[0]))]
    left[0] -= len(rows)
    return [_one(descriptor, row, depth, left) for row in rows]


def _one(descriptor: Any, value: Any, depth: int, left: list[int]) -> Any:
    if descriptor.message_type is None:
        return _plain(descriptor, value)
    return _rendered(value, depth - 1, left) if depth > 1 else {}
