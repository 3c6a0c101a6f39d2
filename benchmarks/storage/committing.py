"""Measures upserts a second: through the storage actor, with one transaction a key, and by the fastest statement."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from benchmarks.storage import portal, raw
from benchmarks.storage.rounds import Rounds
from benchmarks.storage.site import Site, Store
from benchmarks.storage.writers import Writers, Written, open_writers

SENT: Final = 3
"""The keys that one sent message changes, as `wasup_storage_commit_keys` shows for a text to a phone with one linked device."""
ALONE: Final = "one transaction a key, asyncpg"
FROM_TRIO: Final = "one transaction a key, asyncpg from trio by anyio's portal"
CHECKED: Final = "one transaction a key, with lease and journal"


BASELINES: Final = (ALONE, FROM_TRIO, CHECKED)


@dataclass(slots=True)
class Committing:
    """Keys a second, by the way they were written."""

    writers: tuple[int, ...]
    rates: Rounds = field(default_factory=Rounds)
    cpu_us: Rounds = field(default_factory=Rounds)
    """Processor time for a key, Python's and Postgres's together."""
    keys_a_commit: Rounds = field(default_factory=Rounds)

    def fastest(self) -> str:
        """The title of the fastest statement."""
        return max((way.title for way in raw.WAYS), key=self.rates.median)


def name_of(way: str, writers: int, keys: int) -> str:
    """Return the name of a row of this kind."""
    return f"wasup {way}, {writers} writers, {keys} {'key' if keys == 1 else 'keys'} a delta"


def baseline(name: str, writers: int) -> str:
    """Return the name of a row with so many tasks."""
    return f"{name}, {writers} writers"


async def measure(site: Site, writers: Sequence[int], rounds: int, seconds: float) -> Committing:
    """Measure every way in every round, in half of the rounds in reverse order."""
    found = Committing(tuple(writers))
    async with (
        site.store("plain") as plain,
        site.store("sealed") as sealed,
        open_writers(plain.database, max(writers)) as plain_writers,
        open_writers(sealed.database, max(writers)) as sealed_writers,
    ):
        ours = {"plain": plain_writers, "sealed": sealed_writers}
        steps = _steps(site, found, plain, ours, writers, seconds)
        for round_ in range(rounds):
            for step in reversed(steps) if round_ % 2 else steps:
                await step()
    return found


def _steps(
    site: Site, found: Committing, store: Store, ours: dict[str, Writers], writers: Sequence[int], seconds: float
) -> list[Callable[[], Awaitable[None]]]:
    steps: list[Callable[[], Awaitable[None]]] = []
    for number in writers:
        for way, keys in ((way, keys) for way in ours for keys in (1, SENT)):
            steps.append(partial(_ours, site, found, ours[way], way, number, keys, seconds))
        runs: list[Callable[[], Awaitable[raw.Ran | Written]]] = [
            partial(raw.run_apart, raw.one_by_one, store.dsn, number, seconds),
            partial(portal.one_by_one, store.dsn, number, seconds),
            partial(ours["plain"].write_alone, number, seconds),
        ]
        for name, run in zip(BASELINES, runs, strict=True):
            steps.append(partial(_theirs, site, found, baseline(name, number), run))
    for statement in raw.WAYS:
        upsert = partial(raw.run_apart, raw.statement, store.dsn, statement, seconds / 2)
        steps.append(partial(_theirs, site, found, statement.title, upsert))
    return steps


async def _ours(
    site: Site, found: Committing, ours: Writers, way: str, writers: int, keys: int, seconds: float
) -> None:
    name = name_of(way, writers, keys)
    cpu_s = time.process_time() + site.postgres_cpu_s()
    written = await ours.write(writers, seconds, keys=keys)
    found.rates.add(name, written.rate)
    found.cpu_us.add(name, 1e6 * (time.process_time() + site.postgres_cpu_s() - cpu_s) / written.keys)
    found.keys_a_commit.add(name, written.keys_a_commit)


async def _theirs(site: Site, found: Committing, name: str, run: Callable[[], Awaitable[raw.Ran | Written]]) -> None:
    cpu_s = time.process_time() + site.postgres_cpu_s()
    ran = await run()
    found.rates.add(name, ran.rate)
    found.cpu_us.add(name, 1e6 * (time.process_time() + site.postgres_cpu_s() - cpu_s) / ran.keys)
