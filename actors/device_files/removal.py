"""Deletes what a removed company has on disk: its device file holds credentials and messages unencrypted."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

from actors.device_files.lock import FileLock

_SIDE_FILES: Final = ("-wal", "-shm", "-journal")


def discard(devices: Path, company_id: str) -> bool:
    """Delete the company's device file and all that belongs to it; return False when a process still has it open."""
    if not devices.is_dir():
        return True
    path = devices / f"{company_id}.db"
    lock = FileLock(path)
    if not lock.take():
        return False
    try:
        remove(path)
        remove(path.with_name(path.name + ".new"))
    finally:
        lock.remove()
    return True


def remove(path: Path) -> None:
    """Delete a device file that no process has open, and SQLite's files beside it. A directory at such a path is moved aside."""
    for suffix in ("", *_SIDE_FILES):
        place = path.with_name(path.name + suffix)
        if place.is_dir() and not place.is_symlink():
            place.rename(place.with_name(f"{place.name}.aside-{uuid.uuid4().hex[:8]}"))
        else:
            place.unlink(missing_ok=True)
