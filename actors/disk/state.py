"""What the daemon knows of the file systems that it writes to. The disk actor writes it; parts that need room read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import final

import trio

from actors.daemon.metric_types import Sample
from config.disk import Room


@final
@dataclass(slots=True)
class DiskState:
    """The state of the disk. Outlives the actor's crashes."""

    fault: str | None = None
    """Why the state directory takes no writes, in words; None while it does."""
    rooms: Mapping[str, Room] = field(default_factory=dict[str, Room])
    """Free room by the name of the directory: `state`, and `devices` or `postgres` where they are file systems of their own."""
    faults: int = 0
    """How many times writes have stopped since the start."""
    reserve_bytes: int = 0
    """The size of the reserve. Files are refused while less room than this is left: it is for messages."""

    doubted: trio.Event = field(default_factory=trio.Event)
    """Set when a write failed somewhere: the disk actor looks at once."""

    def doubt(self) -> None:
        """Report that a write failed."""
        self.doubted.set()

    @property
    def why_no_files(self) -> str | None:
        """Return why no file can be taken from an application now; None when one can. Files are refused before messages are."""
        if self.fault is not None:
            return self.fault
        room = self.rooms.get("state")
        is_short = room is not None and room.free_bytes < self.reserve_bytes
        return "little space is left, which is kept for messages" if is_short else None

    def samples(self) -> Iterator[Sample]:
        """For the metrics."""
        yield Sample("wasup_disk_writable", "1 while the state directory takes writes", float(self.fault is None))
        yield Sample("wasup_disk_faults", "Times it stopped taking writes", self.faults, kind="counter")
        for name, room in self.rooms.items():
            labels = {"directory": name}
            yield Sample("wasup_disk_free_bytes", "Space left for this user", room.free_bytes, labels)
            yield Sample("wasup_disk_total_bytes", "Size of the file system", room.total_bytes, labels)
            if room.free_inodes is not None:
                yield Sample("wasup_disk_free_inodes", "Files that can still be made", room.free_inodes, labels)
