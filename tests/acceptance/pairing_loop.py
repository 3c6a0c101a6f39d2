"""A company that begins to link and gives up, again and again, and what its neighbours hold meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from tests.support.api import SESSIONS, Api
from tests.support.site import Site, User

MIB: Final = 1024 * 1024
MOST_DESCRIPTORS: Final = 10
MOST_BYTES: Final = 10 * MIB
QUIET_S: Final = 5.0
"""Log-ins are over and the first answers have come: from then on the engines hold what they hold at rest."""


@dataclass(frozen=True, slots=True)
class Held:
    """What an engine process holds."""

    pid: int
    descriptors: int
    rss_bytes: int
    threads: int


@dataclass(frozen=True, slots=True)
class Loop:
    """Before and after, by engine; the transitions of the neighbours in between; how many pairing processes there were."""

    before: dict[str, Held]
    after: dict[str, Held]
    transitions: list[tuple[str, str]]
    pairing_processes: int
    pairing_peak: Held
    seconds: float

    def grown(self) -> list[tuple[str, int, float]]:
        """For each engine of linked companies: how many more descriptors and MiB than before."""
        return [
            (
                name,
                held.descriptors - self.before[name].descriptors,
                (held.rss_bytes - self.before[name].rss_bytes) / MIB,
            )
            for name, held in self.after.items()
        ]


async def run_loop(site: Site, api: Api, neighbours: Sequence[User], company: str, *, cycles: int) -> Loop:
    """Call initialize and stop ``cycles`` times for a company that is not linked, while its neighbours are connected."""
    await trio.sleep(QUIET_S)
    engines = sorted({str((await api.status(user.company))["engine"]) for user in neighbours})
    before, seq = {name: _held(_pids(site, name)[-1]) for name in engines}, await api.last_seq()
    peak = Held(0, 0, 0, 0)
    began = trio.current_time()
    for _ in range(cycles):
        await api.post(f"{SESSIONS}/{company}/initialize", {"method": "qr"})
        peak = max(
            peak, _held(_pids(site, str((await api.status(company))["engine"]))[-1]), key=lambda held: held.descriptors
        )
        await api.post(f"{SESSIONS}/{company}/stop")
    seconds = trio.current_time() - began
    after = {name: _held(_pids(site, name)[-1]) for name in engines}
    names = {user.company for user in neighbours}
    events = await api.events(seq, kind="status")
    moved = [(e["companyId"], e["payload"]["status"]) for e in events if e["companyId"] in names]
    pairing = sum(len(_pids(site, f"/engines/pairing-{number}")) for number in range(100))
    return Loop(before, after, moved, pairing, peak, seconds)


def _held(pid: int) -> Held:
    process = Path("/proc") / str(pid)
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    descriptors = sum(1 for _ in (process / "fd").iterdir())
    return Held(pid, descriptors, int(status["VmRSS"].split()[0]) * 1024, int(status["Threads"]))


def _pids(site: Site, engine: str) -> list[int]:
    """Every process of this engine so far, the newest last."""
    return [
        int(line["pid"])
        for line in site.daemon.lines()
        if line.get("event") == "engine_ready" and line["engine"] == engine
    ]
