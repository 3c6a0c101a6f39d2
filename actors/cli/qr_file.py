"""The QR code as a picture in a file, while it is on offer."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import final

from actors.cli.outcome import CommandError, Exit


@final
class QrFile:
    """A file that only its owner may read: the phone that scans its code links a device."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_ours = False

    def write_bytes(self, picture: bytes) -> None:
        """Make the file, or replace what this object wrote. Raises CommandError when another file is there, or it cannot be written."""
        try:
            if self._is_ours:
                self.path.unlink(missing_ok=True)
            with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(picture)
        except OSError as error:
            raise CommandError(Exit.USAGE, f"{self.path} cannot be written: {error.strerror}") from None
        self._is_ours = True

    def remove(self) -> None:
        """Remove the file: its code is no longer valid."""
        if self._is_ours:
            self.path.unlink(missing_ok=True)


@contextmanager
def qr_file(path: Path | None) -> Generator[QrFile | None]:
    """Yield the file, None without a path. Remove it at the end of the block."""
    if path is None:
        yield None
        return
    file = QrFile(path)
    try:
        yield file
    finally:
        file.remove()
