"""Companies that write through the real storage actor. Each waits for its commit before it writes again."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import final

import trio

from actors.daemon.gc_tuning import frozen
from actors.daemon.metric_types import Sample
from actors.storage.actor import StorageActor
from actors.storage.requests import CommitDelta
from benchmarks.storage import rows
from benchmarks.storage.sample import OWNER
from config.sections import StorageSettings
from storage.database.connection import Connection
from storage.database.pool import Database
from storage.tables import auth_state, leases
from storage.tables.auth_state import Delta, KeyChange
from storage.tables.leases import Lease
from supervisor import ActorRef, ChildSpec, SupervisorSpec, open_system

LEASE_S = 7200.0


@final
class Commits:
    """Counts for the storage actor."""

    def __init__(self) -> None:
        self.keys: list[int] = []

    def committed(self, seconds: float, keys: int) -> None:
        """Count one transaction."""
        self.keys.append(keys)

    def set_source(self, name: str, source: Callable[[], Iterable[Sample]]) -> None:
        """Ignore the source: there is no scrape."""


@dataclass(slots=True)
class Written:
    """The result of one measurement."""

    seconds: float = 0.0
    keys: int = 0
    took_s: list[float] = field(default_factory=list[float])
    """The seconds of each request until its reply, which comes after the commit."""
    keys_a_commit: float = 0.0

    @property
    def rate(self) -> float:
        """Keys a second."""
        return self.keys / self.seconds


@final
class Writers:
    """Companies with their leases, and a storage actor. `open_writers` makes it."""

    def __init__(self, database: Database, storage: ActorRef, granted: list[Lease], commits: Commits) -> None:
        self._database = database
        self._storage = storage
        self._leases = granted
        self._positions = [1] * len(granted)
        self._commits = commits
        self._values = rows.Values()

    async def begin(self) -> None:
        """Write each company's first delta, with all its keys. Later writes update them."""
        for lease in self._leases:
            await self._storage.ask(CommitDelta(_delta(lease, 1, self._values.changes(0, rows.KEYS), base=True)))

    async def write(self, writers: int, seconds: float, *, keys: int = 1) -> Written:
        """Have ``writers`` companies write for ``seconds``, with ``keys`` keys a delta, as fast as they get replies."""
        return await self._together(writers, seconds, partial(self.commit, keys=keys), keys)

    async def write_alone(self, writers: int, seconds: float) -> Written:
        """Do the same with one key a delta and without the actor: each delta in a transaction of its own, with its checks."""
        return await self._together(writers, seconds, self._commit_alone, 1)

    async def write_paced(self, seconds: float, interval_s: float, *, keys: int) -> Written:
        """Have every company write once in each interval, at its own moment. Times count from the moment at which a write was due."""
        written, began = Written(), time.perf_counter()
        self._commits.keys.clear()
        async with trio.open_nursery() as nursery:
            for number in range(len(self._leases)):
                due = began + interval_s * number / len(self._leases)
                nursery.start_soon(self._write_when_due, number, due, began + seconds, interval_s, keys, written)
        return self._done(written, began)

    async def commit(self, number: int, *, keys: int) -> None:
        """Commit one delta of this company, with its next ``keys`` keys."""
        await self.commit_changes(number, self._values.changes(self._positions[number], keys))

    async def commit_changes(self, number: int, changes: tuple[KeyChange, ...]) -> None:
        """Commit one delta of this company."""
        await self._storage.ask(CommitDelta(self._next(number, changes)))

    async def _commit_alone(self, number: int) -> None:
        delta = self._next(number, self._values.changes(self._positions[number], 1))
        (result,) = await self._database.write(auth_state.commit_deltas, [delta])
        assert result.error is None, result.error

    async def _together(
        self, writers: int, seconds: float, commit: Callable[[int], Awaitable[None]], keys: int
    ) -> Written:
        written, began = Written(), time.perf_counter()
        self._commits.keys.clear()
        async with trio.open_nursery() as nursery:
            for number in range(writers):
                nursery.start_soon(_write_on, commit, number, began + seconds, keys, written)
        return self._done(written, began)

    async def _write_when_due(
        self, number: int, due: float, until: float, interval_s: float, keys: int, written: Written
    ) -> None:
        while due < until:
            await trio.sleep(max(0.0, due - time.perf_counter()))
            await self.commit(number, keys=keys)
            written.took_s.append(time.perf_counter() - due)
            written.keys += keys
            due += interval_s

    def _next(self, number: int, changes: tuple[KeyChange, ...]) -> Delta:
        position = self._positions[number] = self._positions[number] + 1
        return _delta(self._leases[number], position, changes)

    def _done(self, written: Written, began: float) -> Written:
        written.seconds = time.perf_counter() - began
        written.keys_a_commit = sum(self._commits.keys) / max(1, len(self._commits.keys))
        return written


async def _write_on(
    commit: Callable[[int], Awaitable[None]], number: int, until: float, keys: int, written: Written
) -> None:
    while (began := time.perf_counter()) < until:
        await commit(number)
        written.took_s.append(time.perf_counter() - began)
        written.keys += keys


@asynccontextmanager
async def open_writers(database: Database, companies: int) -> AsyncGenerator[Writers]:
    """Yield ``companies`` companies on this database, with the storage actor as the daemon runs it."""
    commits = Commits()

    def make(_: object) -> StorageActor:
        return StorageActor(database, settings=StorageSettings(), owner=OWNER, lease_ttl_s=LEASE_S, metrics=commits)

    granted = await database.write_slowly(60.0, _acquire, [rows.company(number) for number in range(companies)])
    async with open_system(SupervisorSpec([ChildSpec(id="storage", start=make)])) as system:
        with frozen():
            writers = Writers(database, system.ref("/storage"), granted, commits)
            await writers.begin()
            yield writers


async def _acquire(connection: Connection, company_ids: list[str]) -> list[Lease]:
    return [await leases.acquire(connection, company_id, OWNER, LEASE_S) for company_id in company_ids]


def _delta(lease: Lease, position: int, changes: tuple[KeyChange, ...], *, base: bool = False) -> Delta:
    creds = b"{}" if base else None
    return Delta(lease.company_id, lease.owner, lease.epoch, "bench", position, creds, changes, base)
