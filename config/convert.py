"""From a raw value to a setting's value, with errors that say what would be right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import msgspec

from config.errors import Problem
from config.fields import Field
from config.sources import Found

_WORDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}
_SHOWN_CHARS = 60


class WrongValueError(Exception):
    """Carries the `Problem`."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


def convert(field: Field, found: Found) -> object:
    """The setting's value. Raises WrongValueError."""
    try:
        if field.parse is not None:
            return _anchored(field.parse(found.value), found.directory)
        return msgspec.convert(found.value, field.annotation, strict=not found.is_text)
    except msgspec.ValidationError:
        raise WrongValueError(Problem(found.where, field.key, _what(field, found), _right(field))) from None
    except ValueError as error:
        wrong, _, right = str(error).rpartition("; ")
        raise WrongValueError(Problem(found.where, field.key, wrong or "it cannot be used", right)) from None


def _anchored(value: object, directory: Path | None) -> object:
    """Make a relative path absolute: what it means must not depend on where a later command is run."""
    if isinstance(value, Path):
        return (directory or Path.cwd()) / value
    return value


def _what(field: Field, found: Found) -> str:
    shown = "the value" if field.is_secret else _shown(found.value)
    kind = get_args(field.annotation)[0]
    try:
        msgspec.convert(found.value, kind, strict=not found.is_text)
    except msgspec.ValidationError:
        return f"{shown} is not {_words(kind)}"
    return f"{shown} is out of range"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _right(field: Field) -> str:
    if field.default is msgspec.NODEFAULT or field.default is None:
        return f"write {describe_range(field)}"
    return f"write {describe_range(field)}, for example {field.default}"


def describe_range(field: Field) -> str:
    """The values a setting may have, in words: ``a whole number from 1 to 1000``."""
    word = _words(get_args(field.annotation)[0])
    meta = field.meta
    if meta.max_length is not None:
        return f"{word} of {meta.min_length or 0} to {meta.max_length} characters"
    low = (
        f"from {_plain(meta.ge)}" if meta.ge is not None else f"above {_plain(meta.gt)}" if meta.gt is not None else ""
    )
    high = f"to {_plain(meta.le)}" if meta.le is not None else ""
    return " ".join(part for part in (word, low, high) if part)


def _words(kind: object) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    return _WORDS.get(getattr(kind, "__name__", ""), "a value")


def _plain(number: float | None) -> str:
    return re.sub(r"\.0$", "", str(number))
