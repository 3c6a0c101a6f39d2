"""The embedded server's log file, kept small."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import IO, Final, final

LIMIT: Final = 4 * 1024 * 1024
"""Bytes in the file before they are moved to the predecessor (the same name with `.1`)."""

_TAIL: Final = 2000


@final
class ServerLog:
    """A file that the server appends to and that we truncate."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> IO[bytes]:
        """Open it for the server to append to."""
        return self.path.open("ab")

    def limit(self, size: int = LIMIT) -> bool:
        """Move the contents to the predecessor when they exceed ``size`` bytes. Bytes written at that moment may be lost.

        The server keeps its file open, so the file stays and is emptied. Returns True when it was.
        """
        try:
            if self.path.stat().st_size <= size:
                return False
        except FileNotFoundError:
            return False
        predecessor = self.path.with_name(self.path.name + ".1")
        try:
            shutil.copyfile(self.path, predecessor)
        except OSError:  # no room for two, and the server must not end because of its log
            predecessor.unlink(missing_ok=True)
        os.truncate(self.path, 0)
        return True

    def tail(self, position: int = 0) -> str:
        """Return the last text written, from ``position`` on at the earliest, as a sentence for the end of an error."""
        try:
            with self.path.open("rb") as log:
                log.seek(max(position, self.path.stat().st_size - _TAIL))
                return "It said: " + log.read().decode(errors="replace").strip()
        except OSError:
            return "It said nothing."
