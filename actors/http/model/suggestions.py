"""Suggestions: the name that a caller probably meant, when a name in a request is unknown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from msgspec import inspect

_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>[^`]{1,64})`(?: - at `\$(?P<path>[^`]*)`)?")
_WRONG_CHOICE: Final = re.compile(r"Invalid enum value '(?P<name>[^']{1,64})' - at `\$(?P<path>[^`]*)`")
_STEP: Final = re.compile(r"\.([A-Za-z]+)|\[[^\]]*\]")


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return ``, did you mean …?`` with the nearest of ``names``, or "" when none is near."""
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f", did you mean {near[0]}?" if near else ""


def with_suggestion(text: str, type_: Any) -> str:
    """Return ``text``, msgspec's error about a value of ``type_``, with a suggestion if it is about an unknown field or choice."""
    if (found := _UNKNOWN.fullmatch(text)) is not None:
        return text + did_you_mean(found["name"], _fields(_at(type_, found["path"] or "")))
    if (found := _WRONG_CHOICE.fullmatch(text)) is not None:
        choices = [str(each) for each in _choices(_at(type_, found["path"]))]
        return f"{text}; one of {', '.join(choices)}{did_you_mean(found['name'], choices)}" if choices else text
    return text


def _at(type_: Any, path: str) -> list[inspect.Type]:
    """Return the types that a value at ``path``, like ``.poll.options[...]``, may have."""
    here = list(_alternatives(inspect.type_info(type_)))
    for step in _STEP.finditer(path):
        here = [each for type_ in here for each in _below(type_, step[1])]
    return here


def _alternatives(type_: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(type_, inspect.Metadata):
        yield from _alternatives(type_.type)
    elif isinstance(type_, inspect.UnionType):
        for each in type_.types:
            yield from _alternatives(each)
    else:
        yield type_


def _below(type_: inspect.Type, field: str | None) -> Iterator[inspect.Type]:
    if field is None:
        if isinstance(type_, inspect.CollectionType):
            yield from _alternatives(type_.item_type)
    elif isinstance(type_, inspect.StructType):
        for each in type_.fields:
            if each.encode_name == field:
                yield from _alternatives(each.type)


def _fields(types: Iterable[inspect.Type]) -> list[str]:
    return [field.encode_name for each in types if isinstance(each, inspect.StructType) for field in each.fields]


def _choices(types: Iterable[inspect.Type]) -> list[object]:
    return [cast("object", value) for each in types if isinstance(each, inspect.LiteralType) for value in each.values]
