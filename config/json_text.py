"""JSON that others wrote."""

from __future__ import annotations

from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")


@overload
def read_json(text: bytes | str | msgspec.Raw) -> Any: ...
@overload
def read_json(text: bytes | str | msgspec.Raw, into: type[T]) -> T: ...
def read_json(text: bytes | str | msgspec.Raw, into: Any = Any) -> Any:
    """The value that ``text`` stands for, read as ``into``.

    Raises `msgspec.DecodeError` for everything that cannot be read: also for bytes that are no UTF-8, and for a text that nests deeper
    than the interpreter's stack of about a thousand, for which msgspec itself raises other errors. `msgspec.ValidationError`, which is
    one of them, means JSON of another shape.
    """
    try:
        return msgspec.json.decode(text, type=into)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(f"not UTF-8 at byte {error.start}") from error
    except RecursionError:  # it comes from C and leaves nothing half done; its traceback would be as deep
        raise msgspec.DecodeError("it nests too deep to be read") from None
