"""A forgotten company leaves nothing on disk."""

from __future__ import annotations

from pathlib import Path

from actors.device_files.lock import FileLock
from actors.device_files.removal import discard

FILES = ("962302.db", "962302.db-wal", "962302.db-shm", "962302.db-journal", "962302.db.new", "962302.db.new-wal")


def test_everything_of_the_company_goes_and_nothing_of_others(tmp_path: Path) -> None:
    """The file, SQLite's files beside it, a half-built one, the lock."""
    for name in (*FILES, "962303.db", "9623021.db"):
        (tmp_path / name).write_bytes(b"x")

    assert discard(tmp_path, "962302")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["9623021.db", "962303.db"]


def test_a_file_that_is_open_stays(tmp_path: Path) -> None:
    """The process that holds its lock goes on undisturbed."""
    (tmp_path / "962302.db").write_bytes(b"x")
    lock = FileLock(tmp_path / "962302.db")
    lock.take()

    assert not discard(tmp_path, "962302")
    assert (tmp_path / "962302.db").exists()
    assert not FileLock(tmp_path / "962302.db").take()
    lock.release()


def test_nothing_to_delete_is_no_mistake(tmp_path: Path) -> None:
    """A company that was never linked here, and a daemon that has hosted no company."""
    assert discard(tmp_path, "962302")
    assert list(tmp_path.iterdir()) == []
    assert discard(tmp_path / "devices", "962302")
