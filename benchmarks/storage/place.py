"""Where the data lies: one directory on one filesystem, for Postgres and for the files that it is compared with."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MEMORY: Final = frozenset({"tmpfs", "ramfs"})
FLUSHES: Final = 50


@dataclass(frozen=True, slots=True)
class Place:
    """A directory for one run."""

    directory: Path
    filesystem: str
    """The filesystem's type, as the kernel names it."""
    flush_ms: float
    """The median time to flush a page to the disk."""

    def print(self) -> None:
        """Print where it is, and what a flush costs there."""
        print("place     ", f"Postgres and files in {self.directory.parent} ({self.filesystem}),", end=" ")
        print(f"write and fdatasync of 8 KiB: {self.flush_ms:.2f} ms (median of {FLUSHES})")
        if self.filesystem in MEMORY:
            print("place      this is memory: a flush costs nothing here, and no figure below holds for a disk")


@contextmanager
def open_place(parent: Path | None) -> Generator[Place]:
    """Yield a new directory in ``parent``, or in the first of the usual places that is on a disk. Remove it after the block."""
    within = parent or next(filter(_is_on_disk, _usual()), _usual()[0])
    directory = Path(tempfile.mkdtemp(prefix="wasup-bench-", dir=within))
    try:
        directory.chmod(0o711)  # as root the embedded server is `nobody`
        yield Place(directory, filesystem_of(directory), _flush_ms(directory))
    finally:
        shutil.rmtree(directory)


def filesystem_of(path: Path) -> str:
    """Return the type of the filesystem that a path is on."""
    best, found = -1, "unknown"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        mount = Path(before.split()[4].replace("\\040", " "))
        if path.resolve().is_relative_to(mount) and len(mount.parts) >= best:
            best, found = len(mount.parts), after.split()[0]
    return found


def _usual() -> list[Path]:
    return [Path(tempfile.gettempdir()), Path("/var/tmp")]


def _is_on_disk(path: Path) -> bool:
    return path.is_dir() and os.access(path, os.W_OK) and filesystem_of(path) not in MEMORY


def _flush_ms(directory: Path) -> float:
    took: list[float] = []
    with (directory / "flush").open("wb", buffering=0) as file:
        for _ in range(FLUSHES):
            began = time.perf_counter()
            file.write(bytes(8192))
            os.fdatasync(file.fileno())
            took.append(1000 * (time.perf_counter() - began))
    (directory / "flush").unlink()
    return statistics.median(took)
