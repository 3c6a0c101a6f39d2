"""Other processes, as /proc shows them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")


def descendants(pid: int) -> frozenset[int]:
    """The children of a process, theirs, and so on; without itself."""
    parents = _parents()
    found: set[int] = set()
    added = {pid}
    while added:
        added = {child for child, parent in parents.items() if parent in added} - found
        found |= added
    return frozenset(found)


def is_alive(pid: int) -> bool:
    """Whether it runs: a process that ended and was not reaped does not."""
    stat = _stat(pid)
    return stat is not None and stat[0] not in "ZX"


def alive(pids: Iterable[int]) -> frozenset[int]:
    """Those that are alive."""
    return frozenset(pid for pid in pids if is_alive(pid))


def command_line(pid: int) -> str:
    """Its arguments, joined by blanks; empty when it is gone."""
    with suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def mentioning(text: str) -> dict[int, str]:
    """The command lines of running processes that have a text in their arguments or environment, whatever their parent."""
    wanted = text.encode()
    found: dict[int, str] = {}
    for pid in _pids():
        with suppress(OSError):
            process = PROC / str(pid)
            if wanted in (process / "cmdline").read_bytes() + (process / "environ").read_bytes() and is_alive(pid):
                found[pid] = command_line(pid)
    return found


def pss_bytes(pids: Iterable[int]) -> int:
    """Proportional set size: private memory, and of shared pages each process's part."""
    return sum(_pss_bytes(pid) for pid in pids)


def _pss_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _pids() -> Iterable[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def _parents() -> dict[int, int]:
    return {pid: stat[1] for pid in _pids() if (stat := _stat(pid)) is not None}


def _stat(pid: int) -> tuple[str, int] | None:
    """Its state and its parent; None when it is gone."""
    with suppress(OSError):
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return fields[0], int(fields[1])
    return None
