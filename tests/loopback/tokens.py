"""The two dictionaries of common words: which byte stands for which word, and back."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

from actors.linker.wire.tokens import DICTIONARY_0, Dictionary


class _Tables(TypedDict):
    single: list[str]
    double: list[list[str]]


@cache
def dictionary(version: int) -> Dictionary:
    """The dictionary a client names in its header; ValueError for one that no client of ours speaks."""
    tables = cast("dict[str, _Tables]", json.loads(Path(__file__).with_name("tokens.json").read_text()))
    if str(version) not in tables:
        raise ValueError(f"dictionary version {version} is unknown, known are {', '.join(tables)}")
    table = tables[str(version)]
    encoded = {
        word: bytes((DICTIONARY_0 + page, index))
        for page, words in enumerate(table["double"])
        for index, word in enumerate(words)
    }
    encoded |= {word: bytes((index,)) for index, word in enumerate(table["single"]) if word}
    return Dictionary(version, tuple(table["single"]), tuple(map(tuple, table["double"])), encoded)
