"""Memory and processor time of a running daemon, by part: itself, its engine processes, its embedded Postgres."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.daemon import Daemon
from tests.support.processes import pss_bytes

PARTS: Final = ("daemon", "engines", "postgres", "others")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Footprint:
    """The use of each part of a daemon at one moment. Keys are `PARTS`."""

    processes: Mapping[str, int]
    pss_bytes: Mapping[str, int]
    """Proportional set size: private memory, and each process's share of shared pages."""
    cpu_s: Mapping[str, float]
    """Processor time since each process began."""

    @property
    def total_bytes(self) -> int:
        """The memory of all parts."""
        return sum(self.pss_bytes.values())

    @property
    def total_cpu_s(self) -> float:
        """The processor time of all parts."""
        return sum(self.cpu_s.values())


def footprint(daemon: Daemon) -> Footprint:
    """Return what a running daemon uses now."""
    parts = _parts(daemon)
    return Footprint(
        processes={part: len(pids) for part, pids in parts.items()},
        pss_bytes={part: pss_bytes(pids) for part, pids in parts.items()},
        cpu_s={part: cpu_s(pids) for part, pids in parts.items()},
    )


def cpu_s_by_part(daemon: Daemon) -> Mapping[str, float]:
    """Return the processor time of each part since its processes began. Keys are `PARTS`."""
    return {part: cpu_s(pids) for part, pids in _parts(daemon).items()}


def cpu_s(pids: Iterable[int]) -> float:
    """Return the processor time of these processes since they began, in user and system mode. Ended processes count as 0."""
    return sum(_cpu_s(pid) for pid in pids)


def _parts(daemon: Daemon) -> dict[str, Collection[int]]:
    family, engines, postgres = daemon.family(), daemon.engines(), daemon.postgres()
    others = family - engines - postgres - {daemon.pid}
    return dict(zip(PARTS, ({daemon.pid}, engines, postgres, others), strict=True))


def _cpu_s(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user, system = fields[11:13]
        return (int(user) + int(system)) / _TICKS_PER_S
    return 0.0
