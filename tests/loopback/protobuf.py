"""Just enough of the protobuf wire format for the dozen fields the loopback reads and writes.

Numbers of fields are constants of the protocol; the names beside them are those of the public .proto files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_VARINT = 0
_FIXED_64 = 1
_BYTES = 2
_FIXED_32 = 5


class BadMessageError(ValueError):
    """Bytes that are no protobuf message, or one without a field that must be there."""


@dataclass(frozen=True, slots=True)
class Fields:
    """A message's fields by number; the last value wins, as protobuf demands."""

    values: dict[int, int | bytes]

    def data(self, number: int) -> bytes:
        """A bytes field, or BadMessageError when it is absent."""
        value = self.values.get(number)
        if not isinstance(value, bytes):
            raise BadMessageError(f"field {number} is missing or no bytes")
        return value

    def number(self, number: int, default: int = 0) -> int:
        """An integer field, or ``default``."""
        value = self.values.get(number, default)
        if not isinstance(value, int):
            raise BadMessageError(f"field {number} is no integer")
        return value

    def message(self, number: int) -> Fields:
        """A nested message, or BadMessageError when it is absent."""
        return parse(self.data(number))

    def __contains__(self, number: int) -> bool:
        """Whether the field is present."""
        return number in self.values


def build(fields: dict[int, int | bytes]) -> bytes:
    """A message of integer (varint) and bytes fields, in the order given."""
    out = bytearray()
    for number, value in fields.items():
        if isinstance(value, int):
            out += _varint(number << 3 | _VARINT) + _varint(value)
        else:
            out += _varint(number << 3 | _BYTES) + _varint(len(value)) + value
    return bytes(out)


def parse(data: bytes) -> Fields:
    """Read a message, or BadMessageError."""
    try:
        return Fields(dict(_fields(data)))
    except IndexError as exc:
        raise BadMessageError("message ends in the middle of a field") from exc


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            yield key >> 3, value
        elif kind in (_BYTES, _FIXED_32, _FIXED_64):
            size, at = _read_varint(data, at) if kind == _BYTES else (4 if kind == _FIXED_32 else 8, at)
            if at + size > len(data):
                raise IndexError
            yield key >> 3, data[at : at + size]
            at += size
        else:
            raise BadMessageError(f"wire type {kind}")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise BadMessageError("integer of more than 64 bits")
