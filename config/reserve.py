"""A file that keeps some room free, so that an end in order has it when the disk is full."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from config.disk import room_of, write_fault, write_synced

SHARE: Final = 16
"""The reserve takes at most this part (one in so many) of a small file system."""

NAME: Final = "reserve"
LEAST_BEYOND: Final = 256 * 1024


@final
class Reserve:
    """The reserve of one directory. Any process that meets a full disk there may release it; the daemon makes it again."""

    def __init__(self, directory: Path, size: int = 0) -> None:
        """``size`` in bytes, for `restore`."""
        self._directory = directory
        self._path = directory / NAME
        self._size = size

    @property
    def directory(self) -> Path:
        """Where it is."""
        return self._directory

    def is_there(self) -> bool:
        """Whether the reserve has not been released; True for one of no size."""
        return self._size == 0 or self._path.exists()

    def release(self) -> bool:
        """Give its room to those who have to finish; False when there was none."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def restore(self) -> str | None:
        """Make it again by a real write: the reason when the file system does not take that, and then nothing is left of it."""
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
        """Its size on this file system."""
        return min(self._size, room_of(self._directory).total_bytes // SHARE)

    def bytes_beyond(self) -> int:
        """So much more has to be free before it is made again."""
        return max(LEAST_BEYOND, self.bytes_wanted() // 4)
