"""What every benchmark prints beside its figures: the command, the machine, and tables."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path


def print_origin(name: str, arguments: Sequence[str]) -> None:
    """Print the command that gives these figures, the machine, and its load."""
    print("command   ", shlex.join(["python", "-m", "benchmarks", name, *arguments]))
    print("date      ", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    print("machine   ", f"{_cores()} cores ({_processor()}), {platform.system()} {platform.release()}")
    print("python    ", platform.python_version(), sys.implementation.name)
    print_load("before")


def print_load(when: str) -> None:
    """Print the load averages of the last 1, 5 and 15 minutes."""
    print("load      ", " ".join(f"{load:.2f}" for load in os.getloadavg()), f"({when})", flush=True)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows below a header: the first column left-aligned, the others right-aligned."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    print()
    for row in (header, ["-" * width for width in widths], *rows):
        first, *others = row
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        print("  ".join(cells).rstrip())


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
