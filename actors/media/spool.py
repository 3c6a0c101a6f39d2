"""The place, in the state directory, for files on their way between the API, URLs and WhatsApp. Each stays for seconds."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, final

import trio

LEFT_AFTER_S: Final = 600.0
"""Files older than this are abandoned: the process that made them was killed, or they were never read."""


@final
class Spool:
    """A directory that only its owner may use. It is made at its first use."""

    def __init__(self, directory: Path) -> None:
        self._directory = trio.Path(directory)

    async def new(self) -> Path:
        """Return a path that is not in use yet. Remove abandoned files."""
        await self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._sweep()
        return Path(self._directory / secrets.token_hex(16))

    @asynccontextmanager
    async def file(self) -> AsyncGenerator[Path]:
        """Yield a path for a file, and remove the file at the end of the block."""
        path = await self.new()
        try:
            yield path
        finally:
            remove(path)

    async def _sweep(self) -> None:
        oldest = time.time() - LEFT_AFTER_S
        for path in await self._directory.iterdir():
            with suppress(FileNotFoundError):
                if (await path.stat()).st_mtime < oldest:
                    await path.unlink()


def size_of(path: Path) -> int:
    """Return the size of a file in bytes."""
    return path.stat().st_size


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        path.unlink()
