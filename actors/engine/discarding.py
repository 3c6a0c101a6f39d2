"""Deleting what a forgotten company has on disk: its device file holds credentials and messages in plain."""

from __future__ import annotations

from pathlib import Path

from actors.engine.device_file import remove
from actors.engine.file_lock import FileLock


def discard(devices: Path, company_id: str) -> bool:
    """Delete the company's device file and all that belongs to it; False when somebody still has it open."""
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
