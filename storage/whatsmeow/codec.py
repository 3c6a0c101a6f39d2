"""Bytes inside JSON, as Baileys writes them, in every form it has ever used.

The form written is always ``{"type":"Buffer","data":"<base64>"}``. The forms of older versions and other stores are
read too: ``data`` as an array of numbers or as an object with numeric keys, ``{"buffer":true,"value":...}``, a bare
object with numeric keys, and, where bytes are expected, a plain base64 string or a plain array of numbers.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from config.json_text import read_json

MAX_DEPTH: Final = 64
"""Deeper JSON is refused: no auth state nests deeper than about ten."""


class CodecError(ValueError):
    """A value is in no known form; the text says what was found, never the value itself."""


class Buffer(msgspec.Struct, frozen=True, tag_field="type", tag="Buffer"):
    """Bytes in the written form; ``msgspec.json`` turns ``data`` into base64."""

    data: bytes


def encode_buffer(data: bytes) -> dict[str, str]:
    """Return the JSON object for ``data``."""
    return {"type": "Buffer", "data": base64.b64encode(data).decode()}


def decode_buffer(value: object) -> bytes:
    """Return the bytes that ``value`` stands for where bytes are expected; `CodecError` when it is in none of the known forms."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return _from_base64(value)
    if (numbers := json_array(value)) is not None:
        return _from_numbers(numbers)
    if (found := json_object(value)) is not None and (data := _bytes_of(found)) is not None:
        return data
    raise CodecError(f"expected bytes as a Buffer object, base64 or numbers, found {_describe(value)}")


def revive(value: object) -> Any:
    """Return ``value`` (parsed JSON) with every Buffer, at any depth, replaced by its bytes; plain strings and arrays stay."""
    return _revive(value, 0)


def wrap(value: object) -> Any:
    """Return ``value`` with every ``bytes``, at any depth, replaced by its Buffer object: the inverse of `revive`."""
    return _wrap(value, 0)


def dump(value: object) -> bytes:
    """Return the JSON text of ``value``, bytes as Buffers."""
    return msgspec.json.encode(wrap(value))


def load(text: bytes) -> Any:
    """Return parsed JSON with Buffers as bytes; `CodecError` for what is not JSON."""
    try:
        return revive(read_json(text))
    except msgspec.DecodeError as error:
        raise CodecError(f"not JSON: {error}") from error


def json_object(value: object) -> dict[str, Any] | None:
    """Return ``value`` if it is a JSON object, None otherwise."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def json_array(value: object) -> list[Any] | None:
    """Return ``value`` if it is a JSON array, None otherwise."""
    return value if isinstance(value, list) else None  # pyright: ignore[reportUnknownVariableType] - elements of any type


def _revive(value: object, depth: int) -> Any:
    _check_depth(depth)
    if (items := json_array(value)) is not None:
        return [_revive(item, depth + 1) for item in items]
    if (found := json_object(value)) is None:
        return value
    data = _bytes_of(found)
    return data if data is not None else {key: _revive(item, depth + 1) for key, item in found.items()}


def _wrap(value: object, depth: int) -> Any:
    _check_depth(depth)
    if isinstance(value, bytes):
        return encode_buffer(value)
    if isinstance(value, (list, tuple)):
        return [_wrap(item, depth + 1) for item in cast("Sequence[object]", value)]
    if (found := json_object(value)) is not None:
        return {key: _wrap(item, depth + 1) for key, item in found.items()}
    return value


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise CodecError(f"JSON nests deeper than {MAX_DEPTH}")


def _bytes_of(value: dict[str, Any]) -> bytes | None:
    """Return the bytes of an object in any of the object forms; None for any other object."""
    tagged = _tagged(value)
    return tagged if tagged is not None else _keyed(value)


def _tagged(value: dict[str, Any]) -> bytes | None:
    """Return the bytes of an object that says it is a Buffer; None for any other object."""
    if value.get("type") != "Buffer" and value.get("buffer") is not True:
        return None
    inner: object = value.get("data", value.get("value"))
    if isinstance(inner, bytes):
        return inner
    if isinstance(inner, str):
        return _from_base64(inner)
    if (numbers := json_array(inner)) is not None:
        return _from_numbers(numbers)
    if (found := json_object(inner)) is not None and ((keyed := _keyed(found)) is not None or not found):
        return keyed or b""
    raise CodecError(f"a Buffer object with data as {_describe(inner)}")


def _keyed(value: dict[str, Any]) -> bytes | None:
    """Return the bytes of ``{"0": 1, "1": 255, ...}`` (JSON of a typed array); None unless it is exactly that."""
    if not value or any(str(index) not in value for index in range(len(value))):
        return None
    numbers = [value[str(index)] for index in range(len(value))]
    return bytes(numbers) if all(_is_octet(number) for number in numbers) else None


def _from_numbers(numbers: list[Any]) -> bytes:
    if not all(_is_octet(number) for number in numbers):
        raise CodecError("an array with something other than numbers from 0 to 255 where bytes were expected")
    return bytes(numbers)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise CodecError(f"a string of {len(text)} characters that is not base64 where bytes were expected") from error


def _is_octet(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= 255


def _describe(value: object) -> str:
    if isinstance(value, dict):
        return "an object that is no Buffer"
    return "null" if value is None else f"a {type(value).__name__}"
