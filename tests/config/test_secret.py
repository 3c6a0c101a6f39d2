"""Secrets stay secret."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import msgspec
import pytest

from config.secret import Secret, describe_url
from config.settings import Settings

TEXT = "hunter2-hunter2"


@pytest.mark.parametrize(
    "shown",
    [
        str(Secret(TEXT)),
        repr(Secret(TEXT)),
        f"{Secret(TEXT)}",
        f"{Secret(TEXT):>40}",
        f"{Secret(TEXT)!r}",
        repr([Secret(TEXT)]),
    ],
)
def test_no_readable_form(shown: str) -> None:
    """Whatever prints a secret prints a mask."""
    assert TEXT not in shown
    assert "********" in shown


def test_settings_show_masks() -> None:
    """The settings as a whole can be printed."""
    settings = Settings(state_dir=Path("/x"), database_url=Secret(TEXT), proxies={"962302": Secret(TEXT)})

    assert TEXT not in repr(settings)


@pytest.mark.parametrize("leak", [pickle.dumps, copy.deepcopy, copy.copy, msgspec.json.encode, msgspec.msgpack.encode])
def test_it_cannot_be_serialised(leak: object) -> None:
    """Neither pickled nor copied nor encoded."""
    assert callable(leak)
    with pytest.raises(TypeError):
        leak(Secret(TEXT))


def test_equality_is_by_text_and_only_with_secrets() -> None:
    """Equal texts are equal, a plain text is not, and secrets are no dictionary keys."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")
    with pytest.raises(TypeError, match="unhashable"):
        hash(Secret("a"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h:5432/db?sslkey=x", "postgresql://********@h:5432/db?…"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("socks5://u@[::1]:1", "socks5://********@[::1]:1"),
        ("not a url", "********"),
        ("http://[broken", "********"),
    ],
)
def test_what_may_be_shown_of_a_url(url: str, expected: str) -> None:
    """Scheme, host and path; never user, password or parameters."""
    assert expected == describe_url(Secret(url))
