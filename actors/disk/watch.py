"""Looks at the file systems, writes to them when that is in doubt, and keeps the reserve. Every method blocks: call it in a thread.

Free space is only what a file system reports. Only a write shows whether it takes writes: quotas, a read-only remount and failing devices
appear then. So a released reserve is made again by real writes, which proves that there is room.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from config.disk import NO_INODES, REASONS, Room, probe, room_of
from config.reserve import Reserve

TIGHT_BYTES: Final = 1024 * 1024
TIGHT_INODES: Final = 16
"""With fewer free inodes, each look writes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one look."""

    rooms: Mapping[str, Room]
    fault: str | None
    """Why no writes are taken, in words; None when they are."""


@final
class Watch:
    """Watches these directories, by name. ``reserve`` lies in the first."""

    def __init__(self, directories: Mapping[str, Path], reserve: Reserve) -> None:
        self._directories = directories
        self._reserve = reserve

    def look(self, *, must_write: bool) -> Finding:
        """Look once. ``must_write``: write to each file system, because one may not take writes."""
        places = self._places()
        rooms = {name: room_of(path) for name, path in places.items()}
        return Finding(rooms, self._fault(places, rooms, must_write=must_write))

    def _places(self) -> dict[str, Path]:
        """Return the directories that exist, one for each file system."""
        found: dict[int, tuple[str, Path]] = {}
        for name, path in self._directories.items():
            if path.is_dir():
                found.setdefault(path.stat().st_dev, (name, path))
        return dict(found.values())

    def _fault(self, places: Mapping[str, Path], rooms: Mapping[str, Room], *, must_write: bool) -> str | None:
        in_doubt = [path for name, path in places.items() if must_write or _is_tight(rooms[name])]
        for path in in_doubt:
            if (reason := probe(path)) is not None:
                self._reserve.release()
                return reason
        return None if self._reserve.is_there() else self._restore()

    def _restore(self) -> str | None:
        """Make the reserve again, if there is room for more than it: work that has to finish may still need what was released."""
        room = room_of(self._reserve.directory)
        if room.free_inodes is not None and room.free_inodes < TIGHT_INODES:
            return NO_INODES
        if room.free_bytes < self._reserve.bytes_wanted() + self._reserve.bytes_beyond():
            return _NO_SPACE
        return self._reserve.restore()


def _is_tight(room: Room) -> bool:
    few_inodes = room.free_inodes is not None and room.free_inodes < TIGHT_INODES
    return room.is_read_only or room.free_bytes < TIGHT_BYTES or few_inodes


_NO_SPACE: Final = REASONS[errno.ENOSPC]
