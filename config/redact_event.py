"""The redaction step that every log line passes."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import PurePath
from typing import Any, final

from structlog.typing import EventDict, WrappedLogger

from config.log_errors import describe_error, frames_of
from config.log_fields import FIELDS, Kind
from config.redaction import printable, scrub, scrub_foreign_error

_MAX_ITEMS = 20


@final
class Redactor:
    """A structlog processor that keeps listed fields, each made printable, and names those it left out."""

    def __init__(self, max_value_chars: int) -> None:
        self._max_chars = max_value_chars

    def __call__(self, logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        exc_info = event.pop("exc_info", None)
        event.pop("stack_info", None)
        clean: dict[str, Any] = {name: event.pop(name) for name in ("timestamp", "level") if name in event}
        clean["logger"] = printable(str(event.pop("logger_name", getattr(logger, "name", ""))), self._max_chars)
        clean["event"] = scrub(str(event.pop("event", "")), self._max_chars)
        for name, value in event.items():
            clean[printable(name, 64)] = self._value(name, value)
        if error := _exception(exc_info):
            clean["exception"] = describe_error(error, self._max_chars)
        return clean

    def _value(self, name: str, value: object) -> object:
        kind = FIELDS.get(name)
        if kind is None:
            return f"[not listed: {type(value).__name__}]"
        return self._fit(value, kind)

    def _fit(self, value: object, kind: Kind) -> object:
        if isinstance(value, Enum):
            value = value.value
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            # In a field for text, a number may be a phone number.
            return value if kind in {Kind.NUMBER, Kind.NAME} else scrub(str(value), self._max_chars)
        if isinstance(value, BaseException):
            return describe_error(value, self._max_chars)
        if isinstance(value, str | PurePath):
            return self._text(str(value), kind)
        if isinstance(value, list | tuple | set | frozenset):
            items: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType]  # checked one by one
            return [self._fit(item, kind) for item in items[:_MAX_ITEMS]]
        return f"[{type(value).__name__}]"

    def _text(self, text: str, kind: Kind) -> object:
        match kind:
            case Kind.NAME:
                return printable(text, self._max_chars)
            case Kind.ERROR:
                return scrub_foreign_error(text, self._max_chars)
            case Kind.TRACE:
                return frames_of(text)
            case _:
                return scrub(text, self._max_chars)


def _exception(exc_info: object) -> BaseException | None:
    """Return the exception from any of the three forms of ``exc_info``."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        found: Any = exc_info[1]  # pyright: ignore[reportUnknownVariableType]  # sys.exc_info()'s shape
        return found if isinstance(found, BaseException) else None
    return sys.exc_info()[1] if exc_info else None
