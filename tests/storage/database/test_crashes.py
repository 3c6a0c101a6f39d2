"""Postgres killed again and again under writers: nothing acknowledged is lost, every doubtful commit is settled (P1)."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path
from statistics import median

import msgspec
import pytest
import trio

from storage.database.migrate import migrate
from storage.database.pool import Database, open_database
from storage.embedded.process import serving
from storage.embedded.server import EmbeddedPostgres
from storage.errors import StorageUnavailable
from storage.tables import auth_state, events, leases
from storage.tables.auth_state import Delta, KeyChange
from storage.tables.events import NewEvent

COMPANIES = [f"company-{n}" for n in range(8)]


class Writer:
    """Writes one company's deltas as the storage actor does: repeats what is unavailable, and counts what is
    acknowledged."""

    def __init__(self, database: Database, company_id: str) -> None:
        self.database = database
        self.company_id = company_id
        self.acknowledged = 0
        self.acknowledged_at = 0.0
        self.seen: Counter[str] = Counter()

    async def run(self) -> None:
        while True:
            await self._write(self.acknowledged + 1)
            self.acknowledged += 1
            self.acknowledged_at = trio.current_time()

    async def _write(self, position: int) -> None:
        change = KeyChange("session", "k", msgspec.json.encode(position))
        delta = Delta(self.company_id, "daemon-1", 1, "file", position, None, (change,), base=position == 1)
        in_doubt = False
        while True:
            try:
                [result] = await self.database.write(auth_state.commit_deltas, [delta])
            except StorageUnavailable as error:
                self.seen["in doubt" if error.in_doubt else "unavailable"] += 1
                in_doubt = in_doubt or error.in_doubt
            else:
                assert result.error is None
                assert in_doubt or not result.repeated
                self.seen["in doubt and had landed"] += result.repeated
                self.seen["resolved"] += in_doubt
                return


class Logger:
    """Appends events one by one, repeating those that were unavailable."""

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
@pytest.mark.parametrize("kills", [6, pytest.param(200, marks=pytest.mark.chaos)], ids=["six", "two-hundred"])
async def test_nothing_acknowledged_is_lost(cluster: Path, kills: int) -> None:
    """P1: after each kill the writers resume by themselves; positions, values and events are in the end exactly those
    acknowledged, and the outcome of every doubtful commit is known."""
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
                back_after = [await kill_at_some_moment(server, writers, moments) for _ in range(kills)]
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
            deltas = sum(writer.acknowledged for writer in writers)
            print(
                f"P1: {kills} kills: {deltas} deltas and {len(log.acknowledged)} events acknowledged, 0 lost; {dict(seen)}; "
                f"first acknowledged after a kill: p50 {median(back_after):.2f} s, at most {max(back_after):.2f} s; "
                f"load {os.getloadavg()[0]:.1f}"
            )
    finally:
        await server.stop()


async def kill_at_some_moment(server: EmbeddedPostgres, writers: list[Writer], moments: random.Random) -> float:
    """Let all write, kill every process of the server at once, start it again; return the time until the first commit after that."""
    await progress(writers)
    await trio.sleep(moments.uniform(0, 0.02))
    for pid in serving(server.data):
        os.kill(pid, signal.SIGKILL)
    killed_at = trio.current_time()
    await server.wait_exit()
    await server.stop()
    gone_at = trio.current_time()
    await server.start()
    with trio.fail_after(30):
        while not (back := [w.acknowledged_at for w in writers if w.acknowledged_at > gone_at]):
            await trio.sleep(0.005)
    return min(back) - killed_at


async def progress(writers: list[Writer]) -> None:
    """Wait until every writer has had ten more acknowledged."""
    goals = {writer.company_id: writer.acknowledged + 10 for writer in writers}
    with trio.fail_after(30):
        while any(writer.acknowledged < goals[writer.company_id] for writer in writers):
            await trio.sleep(0.005)
