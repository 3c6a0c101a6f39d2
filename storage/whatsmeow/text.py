"""Converts text of whatsmeow's tables to a form that PostgreSQL accepts, and back.

Names and message ids come from other people's clients: they may contain NUL characters, which JSONB refuses, or bytes
that are not UTF-8 (read as surrogates). Neither may ever stop a company's journal, so such text is stored as a Buffer,
and in key ids as ``%XX``.
"""

from __future__ import annotations

import re
from typing import Any, Final

from storage.whatsmeow.codec import CodecError, decode_buffer, encode_buffer

SEPARATOR: Final = "|"
"""Between the parts of a key id that has several."""

_ODD: Final = re.compile(r"[%|\x00-\x1f\x7f\ud800-\udfff]")
_ESCAPED: Final = re.compile(rb"%([0-9A-F]{2})")


def text_to_json(text: str | None) -> Any:
    """Return a plain string where PostgreSQL accepts it, a Buffer object where it does not, None for None."""
    if text is None or not ("\x00" in text or _has_surrogates(text)):
        return text
    return encode_buffer(_raw(text))


def text_from_json(value: object) -> str | None:
    """The inverse of `text_to_json`; `CodecError` for anything else than a string, a Buffer or null."""
    if value is None or isinstance(value, str):
        return value
    return decode_buffer(value).decode("utf-8", "surrogateescape")


def required_text(value: object, what: str) -> str:
    """Return text that must be there; ``what`` names it in the `CodecError`."""
    text = text_from_json(value)
    if text is None:
        raise CodecError(f"{what} is missing")
    return text


def join_id(parts: tuple[str, ...]) -> str:
    """Return one key id of several texts; ordinary ids come out unchanged."""
    return SEPARATOR.join(_escape(part) for part in parts)


def split_id(key_id: str, count: int) -> tuple[str, ...]:
    """Return the ``count`` texts that `join_id` joined; `CodecError` when there are more or fewer."""
    parts = key_id.split(SEPARATOR)
    if len(parts) != count:
        raise CodecError(f"a key id of {len(parts)} parts where {count} were expected")
    return tuple(_unescape(part) for part in parts)


def _escape(text: str) -> str:
    return _ODD.sub(lambda match: "".join(f"%{octet:02X}" for octet in _raw(match.group())), text)


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    raw = _ESCAPED.sub(lambda match: bytes.fromhex(match.group(1).decode()), text.encode())
    return raw.decode("utf-8", "surrogateescape")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
