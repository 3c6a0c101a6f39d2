"""Reads JSON from outside."""

from __future__ import annotations

from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")


@overload
def read_json(text: bytes | str | msgspec.Raw) -> Any: ...
@overload
def read_json(text: bytes | str | msgspec.Raw, into: type[T]) -> T: ...
def read_json(text: bytes | str | msgspec.Raw, into: Any = Any) -> Any:
    """Return the value of ``text``, read as ``into``.

    Raises `msgspec.DecodeError` for every text that cannot be read, including bytes that are not UTF-8 and JSON that
    nests deeper than the interpreter's stack of about a thousand, for which msgspec itself raises other errors. Its
    subclass `msgspec.ValidationError` means JSON of another shape.
    """
    try:
        return msgspec.json.decode(text, type=into)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"not UTF-8 at byte {error.start}") from error
    except RecursionError:  # raised by C code with no state to undo; its traceback would be as deep
        raise msgspec.DecodeError("it nests too deep to be read") from None
