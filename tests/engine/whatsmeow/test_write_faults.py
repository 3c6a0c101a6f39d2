"""How the library's error texts describe failed writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.engine.device.sqlite import error_of
from actors.engine.errors import SqliteError, WriteFault
from actors.engine.whatsmeow.write_faults import failed_write, reason_of


@pytest.mark.parametrize(
    "text",
    [
        "Error decrypting message 3EB0 from 1@lid: failed to decrypt normal message: failed to store session: database or disk is full",
        "Failed to store LID-PN mapping for 1@lid -> 2@s.whatsapp.net: disk I/O error: no space left on device",
        "Failed to save push name of 1@lid in device store: attempt to write a readonly database",
        "failed to prefetch sessions: unable to open database file: read-only file system",
    ],
)
def test_a_write_that_failed_is_recognised(text: str) -> None:
    """By SQLite's words at the end, with or without the system's own."""
    said = failed_write(text)

    assert said is not None
    assert text.endswith(said)
    assert "@" not in said


@pytest.mark.parametrize(
    "text",
    [
        "Error decrypting message database or disk is full from 1@lid: failed to decrypt normal message: mismatching MAC",
        "Error decrypting message 3EB0 from 1@lid: failed to store session: wasup: the session was changed meanwhile",
        "Failed to send acknowledgement for message 3EB0: websocket not connected",
        "",
    ],
)
def test_other_texts_are_not(text: str) -> None:
    """A text that another person chose, as the id of a message, cannot make a company leave."""
    assert failed_write(text) is None


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (13, WriteFault),  # full
        (8, WriteFault),  # read-only
        (14, WriteFault),  # cannot open
        (778, WriteFault),  # writing
        (1034, WriteFault),  # syncing
        (4874, WriteFault),  # making its shared memory longer
        (266, SqliteError),  # reading
        (522, SqliteError),  # a short read
        (8458, SqliteError),  # a damaged file system
        (11, SqliteError),  # corrupt
        (5, SqliteError),  # busy
    ],
)
def test_result_codes_tell_writing_from_reading(code: int, kind: type[SqliteError]) -> None:
    """A file that cannot be read is damaged; one that cannot be written may be whole."""
    assert type(error_of(code, "")) is kind


def test_the_reason_is_in_words(tmp_path: Path) -> None:
    """Where the file system takes the probe's writes, with SQLite's own."""
    assert reason_of(OSError(30, "x"), tmp_path) == "the file system is read-only"
    assert reason_of(OSError(2, "x"), tmp_path) is None
    assert reason_of(WriteFault(13, "database or disk is full"), tmp_path) == (
        "a write failed (SQLite error 13: database or disk is full)"
    )
