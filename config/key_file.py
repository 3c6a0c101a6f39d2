"""Master keys in files: 32 random bytes each, raw or as text, one key a line."""

from __future__ import annotations

import base64
import binascii
import re
import string
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32
MAX_FILE_BYTES: Final = 64 * 1024
MAX_KEYS: Final = 16

_RIGHT: Final = "make one with `openssl rand -base64 32`"
_HEX: Final = re.compile(rf"[0-9A-Fa-f]{{{2 * KEY_BYTES}}}")
_URL_SAFE: Final = str.maketrans("-_", "+/")
_DIFFERENT_BYTES: Final = 16
"""Random keys have 30 of 32 on average; zeros, a repeated word and the like have fewer than this."""
_PRINTABLE: Final = frozenset(string.printable.encode())


def read_keys(path: Path) -> tuple[bytes, ...]:
    """Return the keys in this file, in order. Raises ValueError of the form "what is wrong; what would be right",
    which never shows the file's content."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read ({error.strerror}); name a file with a master key that the daemon may read"
        ) from None
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"{path} is longer than {MAX_FILE_BYTES} bytes; {_RIGHT}")
    return parse_keys(content, str(path))


def parse_keys(content: bytes, where: str) -> tuple[bytes, ...]:
    """Like `read_keys`, for content already read: exactly 32 bytes that are not text, or a line of base64 or hex for each key."""
    if len(content) == KEY_BYTES and not _PRINTABLE.issuperset(content):
        return (_random(content, where),)
    try:
        lines = [line.strip() for line in content.decode("ascii").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(
            f"{where} holds {len(content)} bytes that are no text, where {KEY_BYTES} were expected; {_RIGHT}"
        ) from None
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line and not line.startswith("#")]
    if not numbered:
        raise ValueError(f"{where} holds no key; {_RIGHT}")
    if len(numbered) > MAX_KEYS:
        raise ValueError(f"{where} holds more than {MAX_KEYS} keys; remove those that nothing is wrapped by any more")
    keys = tuple(_decoded(line, f"{where}:{number}") for number, line in numbered)
    if len(set(keys)) != len(keys):
        raise ValueError(f"{where} holds a key twice; remove one")
    return keys


def _decoded(line: str, where: str) -> bytes:
    if _HEX.fullmatch(line):
        return _random(bytes.fromhex(line), where)
    try:
        key = base64.b64decode(line.translate(_URL_SAFE) + "=" * (-len(line) % 4), validate=True)
    except binascii.Error:
        raise ValueError(f"{where} is neither base64 nor hex; {_RIGHT}") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"{where} is a key of {len(key)} bytes where {KEY_BYTES} were expected; {_RIGHT}")
    return _random(key, where)


def _random(key: bytes, where: str) -> bytes:
    if len(set(key)) < _DIFFERENT_BYTES:
        raise ValueError(f"{where} is no random key; {_RIGHT}")
    return key
