"""Where files lie on their way between the API, URLs and WhatsApp: in the state directory, for seconds."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, final

import trio

LEFT_AFTER_S: Final = 600.0
"""Older files belong to nobody: whoever made them was killed, or their reader never came."""


@final
class Spool:
    """A directory for its owner alone; it is made when it is first used."""

    def __init__(self, directory: Path) -> None:
        self._directory = trio.Path(directory)

    async def new(self) -> Path:
        """A path at which there is nothing yet. Whatever is left of earlier ones goes."""
        await self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._sweep()
        return Path(self._directory / secrets.token_hex(16))

    @asynccontextmanager
    async def file(self) -> AsyncGenerator[Path]:
        """A path for a file that is gone at the end of the block."""
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
    """Bytes of a file."""
    return path.stat().st_size


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        path.unlink()
