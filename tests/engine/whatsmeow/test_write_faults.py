"""How the library's error texts describe failed writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.engine.device.sqlite import error_of
from actors.engine.errors import SqliteError, WriteFault
from actors.engine.whatsmeow.write_faults import reason_of


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
