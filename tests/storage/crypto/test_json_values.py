"""storage/crypto/json_values.py."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from storage.crypto.json_values import invalid_reason
from storage.database.pool import Database
from storage.errors import InvalidValue

_TEXTS = st.lists(st.text(st.sampled_from('\0a\\u0"é')) | st.text(max_size=5), max_size=4)


@pytest.mark.parametrize("value", [b"", b"{", b"nul", b'"\xff"', b'"\\ud800"', b"NaN", b"[" * 200_000, b'"\\u0000"'])
def test_what_cannot_be_stored(value: bytes) -> None:
    """A text that is no JSON, or holds a NUL, has a reason."""
    assert invalid_reason(value) is not None


@given(_TEXTS)
@settings(max_examples=300)
def test_a_nul_is_found_and_nothing_else_taken_for_one(texts: list[str]) -> None:
    """Exactly the values with a NUL character are refused, however many backslashes are around."""
    assert (invalid_reason(json.encode(texts)) is not None) is any("\0" in text for text in texts)


async def test_postgres_agrees(database: Database) -> None:
    """What is accepted is stored, what is refused PostgreSQL refuses too."""
    for text in ("plain", r"\u0000", "\\" * 3 + "u0000", "a\0b", "\\\0", "\x01", "\u2028", "😀"):
        value = json.encode(text)
        if invalid_reason(value) is None:
            assert json.decode(await database.fetchval("SELECT $1::jsonb", value)) == text
        else:
            with pytest.raises(InvalidValue):
                await database.fetchval("SELECT $1::jsonb", value)
