"""The code logs only fields that may be logged."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from config.log_fields import FIELDS

ROOT = Path(__file__).parents[2]
METHODS = {"debug", "info", "warning", "error", "exception", "critical", "bind"}


def logged_fields(path: Path) -> Iterator[tuple[str, str]]:
    """Each keyword of each call of a logger, with its place."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in METHODS:
            continue
        if "log" in ast.unparse(node.func.value):
            for keyword in node.keywords:
                if keyword.arg not in (None, "exc_info"):
                    yield str(keyword.arg), f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_logged_field_is_listed() -> None:
    """A field that is not in config/log_fields.py would appear as "[not listed]"."""
    paths = [path for folder in ("actors", "storage", "config") for path in (ROOT / folder).rglob("*.py")]
    found = [(name, place) for path in paths for name, place in logged_fields(path)]

    assert found
    assert [f"{place}: {name}" for name, place in found if name not in FIELDS] == []


def test_what_could_hold_a_message_is_not_listed() -> None:
    """Names under which message texts, codes and keys travel must not become loggable by accident."""
    assert not {"text", "message", "body", "payload", "qr", "pairing_code", "creds", "value", "secret", "key"} & set(
        FIELDS
    )
