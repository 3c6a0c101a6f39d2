"""JSON from outside."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest

from config.json_text import read_json

ROOT = Path(__file__).parents[2]
DEEP = b"[" * 100_000 + b"]" * 100_000


class Small(msgspec.Struct):
    number: int = 0


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b'"\xff"', DEEP, b"[" * 3_000_000, b'{"a":' * 100_000, b'{"other":' + DEEP + b"}"],
    ids=["empty", "torn", "no-utf-8", "deep", "deep-and-torn", "deep-objects", "deep-where-nobody-looks"],
)
@pytest.mark.parametrize("into", [object, Small, dict[str, msgspec.Raw]])
def test_what_cannot_be_read_is_one_error(text: bytes, into: type[object]) -> None:
    """Also where it nests a hundred thousand deep, whatever type is asked for."""
    with pytest.raises(msgspec.DecodeError):
        read_json(text, into)


def test_a_part_that_is_left_as_it_is_may_not_be_deep_either() -> None:
    """It is skipped, not decoded; that takes as much stack."""
    with pytest.raises(msgspec.DecodeError):
        read_json(DEEP, msgspec.Raw)


def test_another_shape_is_an_error_of_its_own() -> None:
    """So that it differs from what is no JSON."""
    with pytest.raises(msgspec.ValidationError):
        read_json(b'{"number": "one"}', Small)


def test_what_can_be_read_is_read() -> None:
    """As the type that is asked for, or as plain objects."""
    assert (read_json(b'{"number": 1}'), read_json("[1]", list[int])) == ({"number": 1}, [1])


def test_all_json_is_read_in_this_one_way() -> None:
    """No module reads JSON by a function that raises other errors for some texts."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in ("actors", "config", "storage", "supervisor")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "json_text.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("msgspec.json.decode", "json.loads", "json.load", "msgspec.json.Decoder")
    ]

    assert found == []
