"""Resident memory per idle thing, in a process of its own: ``python -m benchmarks.supervision.memory raw|ours|used COUNT``."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import trio
import trio.testing

from benchmarks.supervision import ours, raw


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def measure(kind: str, count: int) -> float:
    """Return the bytes for each item."""
    make = {"raw": raw.idle, "ours": ours.idle, "used": ours.used}[kind]
    gc.collect()
    before = resident()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(make, count)
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        used = resident() - before
        nursery.cancel_scope.cancel()
    return used / count


if __name__ == "__main__":
    print(trio.run(measure, sys.argv[1], int(sys.argv[2])))
