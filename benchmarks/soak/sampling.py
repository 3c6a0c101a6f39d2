"""Samples the resources of a site, from the operating system, Postgres, the loopback and ``/metrics``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, final

import trio
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.soak.slopes import Point
from benchmarks.soak.tables import MIB, look_at_tables, pack_tables
from storage.database.pool import open_database
from storage.errors import StorageError
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.processes import PROC, alive
from tests.support.site import Site

EVERY_S: Final = 5.0
BLOCKS: Final = "daemon: blocks that objects hold, thousands"
TABLES_EVERY: Final = 4
"""Only each fourth sample includes the tables, because that costs a connection."""

Series = dict[str, list[Point]]


@final
class Sampler:
    """Takes samples. ``series``: points by name, with the seconds since the start. ``staying``: companies that stay for the whole run."""

    def __init__(self, site: Site, api: Api, loopback: RemoteLoopback, staying: Sequence[str]) -> None:
        self.series: Series = {}
        self._site = site
        self._api = api
        self._loopback = loopback
        self._staying = staying
        self._began = trio.current_time()

    async def run(self) -> None:
        """Take a sample every `EVERY_S`, until cancelled."""
        number = 0
        while True:
            await self.sample(with_tables=number % TABLES_EVERY == 0)
            number += 1
            await trio.sleep_until(self._began + number * EVERY_S)

    async def sample(self, *, with_tables: bool, packed: bool = False) -> None:
        """Take a sample now. Values that cannot be read now are left out. ``packed``: free the tables' files of unused space first."""
        now = trio.current_time() - self._began
        found = {**dict(self._processes()), **dict(self._files())}
        found |= await self._daemon_itself()
        found |= await self._whatsapp()
        if with_tables:
            found |= await self._tables(packed=packed)
        for name, value in found.items():
            self.series.setdefault(name, []).append((now, value))

    def _processes(self) -> Iterator[tuple[str, float]]:
        daemon = self._site.daemon
        engines, postgres = daemon.engines(), daemon.postgres()
        yield "daemon: memory, MB", _memory([daemon.pid], "Pss_Anon")
        yield "daemon: descriptors", _entries(daemon.pid, "fd")
        yield "daemon: threads", _entries(daemon.pid, "task")
        yield "daemon: child processes, without Postgres", len(alive(daemon.family() - postgres)) - 1
        yield "engines: memory, MB", _memory(engines, "Pss_Anon")
        yield "engines: descriptors", sum(_entries(pid, "fd") for pid in engines)
        yield "engines: threads", sum(_entries(pid, "task") for pid in engines)
        yield "Postgres: processes", len(postgres)
        yield "Postgres: private memory, MB", _memory(postgres, "Pss_Anon")
        yield "Postgres: shared memory, MB", _memory(postgres, "Pss_Shmem")

    def _files(self) -> Iterator[tuple[str, float]]:
        state = self._site.daemon.state_dir
        devices = list(_sizes(state / "devices"))
        others = [
            folder for folder in state.iterdir() if folder.is_dir() and folder.name not in ("devices", "postgres")
        ]
        yield "device files: MB", sum(devices) / MIB
        yield "device files", len(devices)
        yield "other files", sum(1 for folder in (*others, self._site.temporary) for _ in _sizes(folder))

    async def _daemon_itself(self) -> dict[str, float]:
        answer = await self._api.try_get("/metrics")
        if answer.status_code != 200:
            return {}
        values = {
            (sample.name, sample.labels.get("actor", "")): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
        return {
            "daemon: trio tasks": values["wasup_trio_tasks", ""],
            BLOCKS: values["wasup_memory_blocks", ""] / 1000.0,
            "daemon: actors of companies": values["wasup_actors", "/companies/*"],
        }

    async def _whatsapp(self) -> dict[str, float]:
        devices = await self._loopback.devices()
        return {
            "WhatsApp: devices online": sum(device.listening for device in devices),
            "WhatsApp: connections": await self._loopback.connections(),
            "WhatsApp: stanzas nobody acknowledged": sum(device.waiting for device in devices if device.listening),
        }

    async def _tables(self, *, packed: bool) -> dict[str, float]:
        with suppress(StorageError, OSError, TimeoutError):  # a fault may be stopping Postgres
            async with open_database(self._site.dsn, size=1, acquire_timeout_s=2.0, command_timeout_s=5.0) as database:
                if packed:
                    await pack_tables(database)
                return await look_at_tables(database, self._staying)
        return {}


def _memory(pids: Collection[int], kind: str) -> float:
    """Return the memory of several processes in MB; ``kind`` is a line of smaps_rollup. Only anonymous memory does not depend on others."""
    return sum(_kibibytes(pid, kind) for pid in pids) / 1024


def _kibibytes(pid: int, kind: str) -> int:
    with suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith(f"{kind}:"):
                return int(line.split()[1])
    return 0


def _entries(pid: int, folder: str) -> int:
    with suppress(OSError):
        return sum(1 for _ in (PROC / str(pid) / folder).iterdir())
    return 0


def _sizes(folder: Path) -> Iterator[int]:
    """Yield the size of every file below a directory. Files that vanish meanwhile are left out."""
    for path in folder.rglob("*"):
        with suppress(OSError):
            if not path.is_dir():
                yield path.stat().st_size
