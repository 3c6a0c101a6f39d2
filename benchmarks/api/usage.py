"""Processor time while messages are sent: by process, for each send."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final, final

from benchmarks.api.requests import Run
from benchmarks.footprint import cpu_s, cpu_s_by_part
from tests.support.daemon import Daemon
from tests.support.processes import command_line, descendants

BARE: Final = "bare"
LOOPBACK: Final = "loopback"
CLIENT: Final = "client"
OURS: Final = ("daemon", "engines", "postgres", "others")
COLUMNS: Final = (BARE, *OURS, LOOPBACK, CLIENT)
"""Bare neonize; the parts of wasup; the loopback WhatsApp of both; the HTTP client, which is this process."""


@final
class Meter:
    """Reads the processor time of every process that takes part."""

    def __init__(self, daemon: Daemon, bare_pid: int) -> None:
        self._daemon = daemon
        self._bare_pid = bare_pid
        found = [pid for pid in descendants(os.getpid()) if "tests.loopback" in command_line(pid).split()]
        assert len(found) == 1, f"{len(found)} loopbacks"
        self._loopback_pid = found[0]

    @contextmanager
    def measuring(self) -> Generator[dict[str, float]]:
        """Yield the processor time of this block, in seconds, by `COLUMNS`. It is filled in at the block's end."""
        used: dict[str, float] = {}
        before = self._read()
        yield used
        after = self._read()
        used |= {part: after[part] - before[part] for part in COLUMNS}

    def _read(self) -> Mapping[str, float]:
        return {
            BARE: cpu_s([self._bare_pid]),
            LOOPBACK: cpu_s([self._loopback_pid]),
            CLIENT: cpu_s([os.getpid()]),
            **cpu_s_by_part(self._daemon),
        }


def usage_row(name: str, run: Run) -> list[str]:
    """Return a row of milliseconds for each send: by `COLUMNS`, and of all together."""
    sends = len(run.took)
    each = [1000 * run.cpu_s.get(part, 0.0) / sends for part in COLUMNS]
    return [name, *(f"{ms:.2f}" for ms in each), f"{sum(each):.2f}"]


def ceiling(run: Run) -> float:
    """Return the rate of bare sends that would, with the loopback WhatsApp and nothing else, fill the cores of this process."""
    return len(os.sched_getaffinity(0)) * len(run.took) / (run.cpu_s[BARE] + run.cpu_s[LOOPBACK])
