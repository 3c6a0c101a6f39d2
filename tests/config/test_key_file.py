"""config/key_file.py: master keys in files."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from config.key_file import MAX_KEYS, parse_keys, read_keys

KEY = bytes(range(7, 39))
OTHER = bytes(range(200, 232))
TEXT = base64.b64encode(KEY).decode()


@pytest.mark.parametrize(
    "content",
    [
        KEY,
        TEXT.encode(),
        TEXT.encode() + b"\n",
        TEXT.rstrip("=").encode(),
        base64.urlsafe_b64encode(KEY),
        KEY.hex().encode(),
        KEY.hex().upper().encode() + b"\r\n",
        b"# made in May\n\n  " + TEXT.encode() + b"  \n",
    ],
    ids=["raw", "base64", "a line", "unpadded", "URL-safe", "hex", "upper-case hex", "with a comment"],
)
def test_a_key_in_every_form(content: bytes) -> None:
    """Raw bytes, base64 of either alphabet, hex: the same key."""
    assert parse_keys(content, "f") == (KEY,)


def test_several_keys_keep_their_order() -> None:
    """One a line; the first is used for new values."""
    assert parse_keys(f"{OTHER.hex()}\n{TEXT}\n".encode(), "f") == (OTHER, KEY)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "f holds no key"),
        (b"\n# nothing yet\n", "f holds no key"),
        (OTHER[:31], "f holds 31 bytes that are no text, where 32 were expected"),
        (OTHER + b"\xff", "f holds 33 bytes that are no text, where 32 were expected"),
        (base64.b64encode(KEY[:16]), "f:1 is a key of 16 bytes where 32 were expected"),
        (TEXT.encode() + b"\nhunter2!\n", "f:2 is neither base64 nor hex"),
        (b"hunter2-hunter2-hunter2-hunter2-", "f:1 is a key of 24 bytes where 32 were expected"),
        (bytes(32), "f is no random key"),
        (base64.b64encode(b"ab" * 16), "f:1 is no random key"),
        (f"{TEXT}\n{KEY.hex()}".encode(), "f holds a key twice"),
        (b"\n".join(base64.b64encode(bytes([n]) + KEY[1:]) for n in range(40, 41 + MAX_KEYS)), "f holds more than 16 keys"),
        (b"#" * 70_000, "f holds no key"),
    ],
    ids=["empty", "comments", "short", "long", "16 bytes", "garbage", "a passphrase", "zeros", "a pattern", "twice", "many", "noise"],
)  # fmt: skip
def test_what_is_no_key(content: bytes, says: str) -> None:
    """The error says what is wrong, and how to make a right one or what to remove; it never shows the file's content."""
    with pytest.raises(ValueError, match="; ") as caught:
        parse_keys(content, "f")

    wrong, _, right = str(caught.value).partition("; ")
    assert wrong == says
    assert "openssl rand -base64 32" in right or "remove" in right
    assert "hunter2" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """No such file, a directory, a file of a very different size."""
    (tmp_path / "huge").write_bytes(b"#" * 100_000)

    for name, says in (("none", "No such file"), (".", "Is a directory"), ("huge", "longer than 65536 bytes")):
        with pytest.raises(ValueError, match=says):
            read_keys(tmp_path / name)
