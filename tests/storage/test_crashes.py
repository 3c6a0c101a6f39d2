"""Postgres killed again and again under writers: nothing acknowledged is lost, every doubtful commit is settled (P1)."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path

import msgspec
import pytest
import trio

from storage import auth_state, events, leases
from storage.auth_state import Delta, KeyChange
from storage.embedded import EmbeddedPostgres
from storage.errors import StorageUnavailable
from storage.events import NewEvent
from storage.migrate import migrate
from storage.pool import Database, open_database
from storage.postgres_process import serving

COMPANIES = [f"company-{n}" for n in range(8)]
KILLS = 6


class Writer:
    """Writes one company's deltas as the storage actor does: repeats what is unavailable, and counts what is
    acknowledged."""

    def __init__(self, database: Database, company_id: str) -> None:
        self.database = database
        self.company_id = company_id
        self.acknowledged = 0
        self.seen: Counter[str] = Counter()

    async def run(self) -> None:
        while True:
            await self._write(self.acknowledged + 1)
            self.acknowledged += 1

    async def _write(self, position: int) -> None:
        change = KeyChange("session", "k", msgspec.json.encode(position))
        delta = Delta(self.company_id, "daemon-1", 1, "file", position, None, (change,), base=position == 1)
        while True:
            try:
                [result] = await self.database.write(auth_state.commit_deltas, [delta])
            except StorageUnavailable as error:
                self.seen["in doubt" if error.in_doubt else "unavailable"] += 1
            else:
                assert result.error is None
                self.seen["repeated"] += result.repeated
                return


class Logger:
    """Appends events one by one, repeating what is unavailable."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.acknowledged: list[tuple[str, int]] = []

    async def run(self) -> None:
        while True:
            event = NewEvent(f"event-{len(self.acknowledged)}", "message", "962302", 0.0, b"{}")
            try:
                [seq] = await self.database.write(events.append, [event])
            except StorageUnavailable:
                continue
            self.acknowledged.append((event.id, seq))


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost(cluster: Path) -> None:
    """After each kill the writers resume by themselves; positions, values and events are in the end exactly those
    acknowledged."""
    moments = random.Random(20261121)
    server = EmbeddedPostgres(cluster)
    await server.start()
    try:
        async with open_database(server.dsn, size=10) as database:
            await migrate(database)
            for company_id in COMPANIES:
                await database.write(leases.acquire, company_id, "daemon-1", 3600.0)
            writers = [Writer(database, company_id) for company_id in COMPANIES]
            log = Logger(database)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(log.run)
                for writer in writers:
                    nursery.start_soon(writer.run)
                for _ in range(KILLS):
                    await kill_at_some_moment(server, writers, moments)
                await progress(writers)
                nursery.cancel_scope.cancel()

            for writer in writers:
                state = await auth_state.load(database, writer.company_id)
                # Cancelled between its commit and its count, a writer may be one behind.
                assert state.position in (writer.acknowledged, writer.acknowledged + 1)
                assert state.keys == [("session", "k", b"%d" % state.position)]
            stored = [(event.id, event.seq) for event in await events.read(database, limit=1_000_000)]
            assert stored[: len(log.acknowledged)] == log.acknowledged
            assert len(stored) <= len(log.acknowledged) + 1
            seen: Counter[str] = Counter()
            for writer in writers:
                seen.update(writer.seen)
            assert seen["unavailable"] + seen["in doubt"] > 0
            print(f"acknowledged {sum(w.acknowledged for w in writers)}, {seen}")
    finally:
        await server.stop()


async def kill_at_some_moment(server: EmbeddedPostgres, writers: list[Writer], moments: random.Random) -> None:
    """Let everybody write, kill every process of the server at once, start it again."""
    await progress(writers)
    await trio.sleep(moments.uniform(0, 0.02))
    for pid in serving(server.data):
        os.kill(pid, signal.SIGKILL)
    await server.wait_exit()
    await server.stop()
    await server.start()


async def progress(writers: list[Writer]) -> None:
    """Wait until every writer has had ten more acknowledged."""
    goals = {writer.company_id: writer.acknowledged + 10 for writer in writers}
    with trio.fail_after(30):
        while any(writer.acknowledged < goals[writer.company_id] for writer in writers):
            await trio.sleep(0.005)
