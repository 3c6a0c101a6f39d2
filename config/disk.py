"""Room on a file system: the errors of one that takes no more writes, how much room it has, and a probe that really writes.

Lack of space is one of several reasons: inodes run out, a quota is used up, the kernel remounts a file system read-only
after an error, a device fails. The daemon treats them as one condition, because each ends when a write succeeds again,
and only then.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

NO_INODES: Final = "no inode is left"

REASONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        errno.ENOSPC: "no space is left",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the file system is read-only",
        errno.EIO: "the device reports an input/output error",
    }
)
"""By error number: the errors of a write which mean that the file system takes no writes."""

PROBE_BYTES: Final = 64 * 1024
"""More than SQLite's shared memory and its smallest transaction need."""


@dataclass(frozen=True, slots=True)
class Room:
    """The room that a directory's file system has left for this user."""

    free_bytes: int
    total_bytes: int
    free_inodes: int | None
    """None: the file system has no fixed number of inodes, such as btrfs."""
    is_read_only: bool


def room_of(directory: Path) -> Room:
    """Return the room at ``directory``; OSError when it does not exist."""
    found = os.statvfs(directory)
    return Room(
        free_bytes=found.f_bavail * found.f_frsize,
        total_bytes=found.f_blocks * found.f_frsize,
        free_inodes=found.f_favail if found.f_files else None,
        is_read_only=bool(found.f_flag & os.ST_RDONLY),
    )


def write_fault(error: BaseException, directory: Path | None = None) -> str | None:
    """Return in words why the file system refused a write; None when ``error`` means something else.

    ``directory`` is the directory of the write: the kernel has one error number for blocks and for inodes.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOSPC and directory is not None and _has_no_inodes(directory):
        return NO_INODES
    return None if number is None else REASONS.get(number)


def _has_no_inodes(directory: Path) -> bool:
    with suppress(OSError):
        return room_of(directory).free_inodes == 0
    return False


def probe(directory: Path, size: int = PROBE_BYTES) -> str | None:
    """Write, sync and remove a file of ``size`` bytes. Return None, or the reason when the file system refuses the write.

    Any other error (no such directory, no permission) is raised.
    """
    path = directory / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        write_synced(path, size)
    except OSError as error:
        if (reason := write_fault(error, directory)) is None:
            raise
        return reason
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return None


def write_synced(path: Path, size: int) -> None:
    """Create a file of ``size`` random bytes, durable on return. Random, because zeros take no room where they are compressed."""
    piece = secrets.token_bytes(min(size, 1024 * 1024))
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb", buffering=0
    ) as file:
        left = size
        while left > 0:
            left -= file.write(piece[:left])
        os.fsync(file.fileno())
