"""Bytes inside JSON: every form that was ever written is read, one is written."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.whatsmeow import codec

RAW = b"\x00\x05\xff\x80ab"

FORMS: list[object] = [
    {"type": "Buffer", "data": "AAX/gGFi"},
    {"type": "Buffer", "data": [0, 5, 255, 128, 97, 98]},
    {"type": "Buffer", "data": {"0": 0, "1": 5, "2": 255, "3": 128, "4": 97, "5": 98}},
    {"type": "Buffer", "value": "AAX/gGFi"},
    {"buffer": True, "data": "AAX/gGFi"},
    {"buffer": True, "value": [0, 5, 255, 128, 97, 98]},
    {"0": 0, "1": 5, "2": 255, "3": 128, "4": 97, "5": 98},
    {"5": 98, "4": 97, "3": 128, "2": 255, "1": 5, "0": 0},
]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(min_size=1).filter(lambda key: not key.isdigit()), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_bytes_are_written_as_a_tagged_buffer() -> None:
    """The one form that is written is the one Baileys writes."""
    assert codec.encode_buffer(RAW) == {"type": "Buffer", "data": "AAX/gGFi"}


@pytest.mark.parametrize("form", [*FORMS, "AAX/gGFi", [0, 5, 255, 128, 97, 98]])
def test_every_historic_form_is_read(form: object) -> None:
    """Where bytes are expected, every form of every version gives the same bytes."""
    assert codec.decode_buffer(form) == RAW


@pytest.mark.parametrize("form", FORMS)
def test_buffers_are_found_at_any_depth(form: object) -> None:
    """Reviving walks objects and arrays; values that are no Buffer stay as they are."""
    nested = {"a": [1, {"b": form, "c": "AAX/gGFi"}], "d": {}, "e": [1, 2]}

    assert codec.revive(nested) == {"a": [1, {"b": RAW, "c": "AAX/gGFi"}], "d": {}, "e": [1, 2]}


def test_an_empty_buffer_is_read_in_every_form() -> None:
    """Empty bytes are bytes too."""
    forms: list[object] = [{"type": "Buffer", "data": ""}, {"type": "Buffer", "data": []}, "", []]

    assert [codec.decode_buffer(form) for form in forms] == [b""] * 4


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        7,
        True,
        "not base64!",
        [256],
        [-1],
        [True],
        ["1"],
        {"type": "Buffer"},
        {"type": "Buffer", "data": 5},
        {"a": 1},
        {"1": 5},
    ],
)
def test_what_is_no_buffer_is_refused(wrong: object) -> None:
    """An unknown form is an error, never empty bytes."""
    with pytest.raises(codec.CodecError):
        codec.decode_buffer(wrong)


def test_an_error_does_not_show_the_value() -> None:
    """Values are keys: their text stays out of error messages."""
    with pytest.raises(codec.CodecError) as caught:
        codec.decode_buffer("secret!secret!")

    assert "secret" not in str(caught.value)


def test_json_that_nests_too_deep_is_refused() -> None:
    """Depth has a limit, so a hostile value cannot end the process by recursion."""
    deep: Any = "x"
    for _ in range(codec.MAX_DEPTH + 2):
        deep = [deep]

    with pytest.raises(codec.CodecError, match="deeper"):
        codec.revive(deep)


@settings(max_examples=100)
@given(JSON)
def test_what_is_dumped_is_loaded_again(value: object) -> None:
    """Dumping and loading gives back the same value, bytes included."""
    text = codec.dump(value)

    assert codec.load(text) == value
    assert msgspec.json.decode(text) == codec.wrap(value)


def test_text_that_is_no_json_is_refused() -> None:
    """A torn file is an error."""
    with pytest.raises(codec.CodecError, match="not JSON"):
        codec.load(b'{"a":')
