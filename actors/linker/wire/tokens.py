"""The dictionary of common words of WhatsApp's binary XML (version 3): which byte stands for which word, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from config.json_text import read_json

DICTIONARY_0: Final = 236
"""First byte of a two-byte word of the first of the four tables."""


class _Tables(msgspec.Struct):
    version: int
    single: list[str]
    double: list[list[str]]


@dataclass(frozen=True, slots=True)
class Dictionary:
    """Words by number (``single``, ``double``) and the bytes of each word (``encoded``)."""

    version: int
    single: tuple[str, ...]
    double: tuple[tuple[str, ...], ...]
    encoded: Mapping[str, bytes]


@cache
def dictionary() -> Dictionary:
    """The words of version 3, which is what clients name in their header."""
    tables = read_json(Path(__file__).with_name("tokens.json").read_bytes(), _Tables)
    encoded = {
        word: bytes((DICTIONARY_0 + page, index))
        for page, words in enumerate(tables.double)
        for index, word in enumerate(words)
    }
    encoded |= {word: bytes((index,)) for index, word in enumerate(tables.single) if word}
    return Dictionary(tables.version, tuple(tables.single), tuple(map(tuple, tables.double)), encoded)
