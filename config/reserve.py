"""A file that reserves some room on a disk, so that an orderly shutdown still has room when the disk is full."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from config.disk import room_of, write_fault, write_synced

SHARE: Final = 16
"""On a small file system the reserve takes at most one part in this many."""

NAME: Final = "reserve"
LEAST_BEYOND: Final = 256 * 1024


@final
class Reserve:
    """The reserve of one directory. Any process that meets a full disk there may release it; the daemon restores it."""

    def __init__(self, directory: Path, size: int = 0) -> None:
        """``size`` in bytes, for `restore`."""
        self._directory = directory
        self._path = directory / NAME
        self._size = size

    @property
    def directory(self) -> Path:
        """The directory of the reserve."""
        return self._directory

    def is_there(self) -> bool:
        """Return whether the reserve has not been released; True for one of size 0."""
        return self._size == 0 or self._path.exists()

    def release(self) -> bool:
        """Free its room for work that must finish. Return False when there was no reserve."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def restore(self) -> str | None:
        """Restore it by a real write. Return None, or the reason when the file system refuses; then no part of it remains."""
        fresh = self._path.with_name(NAME + ".new")
        try:
            fresh.unlink(missing_ok=True)
            write_synced(fresh, self.bytes_wanted() + self.bytes_beyond())
            os.truncate(fresh, self.bytes_wanted())
            fresh.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            reason = write_fault(error, self._directory)
            if reason is None:
                raise
            return reason
        return None

    def bytes_wanted(self) -> int:
        """Return its size on this file system."""
        return min(self._size, room_of(self._directory).total_bytes // SHARE)

    def bytes_beyond(self) -> int:
        """Return how many more bytes must be free before it is restored."""
        return max(LEAST_BEYOND, self.bytes_wanted() // 4)
