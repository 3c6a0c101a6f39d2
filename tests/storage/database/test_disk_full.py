"""The disk of Postgres is full (P4): nothing acknowledged is lost, and writes go on by themselves when there is room again."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import trio

from storage.database.migrate import migrate
from storage.database.pool import Database, open_database
from storage.embedded.server import EmbeddedPostgres
from storage.errors import StorageFull
from storage.tables import auth_state, events, leases
from storage.tables.events import NewEvent
from tests.storage.database.test_crashes import Writer
from tests.support.bars import patience
from tests.support.small_disk import fill, mounted_disk, needs_mount

SIZE_MIB = 192
RESUMED_WITHIN_S = 5.0
pytestmark = [pytest.mark.slow, *needs_mount]


@pytest.fixture
def small_disk() -> Generator[Path]:
    """A file system of its own that fills quickly."""
    with mounted_disk(SIZE_MIB) as directory:
        yield directory


async def log_until(database: Database, refused: bool) -> int:
    """Append events of half a megabyte until one is refused as `StorageFull`, or, with ``refused`` False, until one is stored."""
    taken = 0
    with trio.fail_after(60.0):
        while True:
            payload = b'"%s"' % os.urandom(250_000).hex().encode()
            try:
                await database.write(events.append, [NewEvent(str(uuid.uuid4()), "message", "962302", 0.0, payload)])
            except StorageFull:
                if refused:
                    return taken
                await trio.sleep(0.01)
            else:
                taken += 1
                if not refused:
                    return taken


async def _until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(60.0):
        while not condition():
            await trio.sleep(0.005)


async def test_p4_a_full_disk_loses_nothing(small_disk: Path) -> None:
    """While it is full an event is refused as `StorageFull`; then writes resume, and exactly what was acknowledged is there."""
    server = EmbeddedPostgres(small_disk / "postgres", settings={"max_wal_size": "32MB", "min_wal_size": "32MB"})
    await server.start()
    try:
        async with open_database(server.dsn, size=4) as database:
            await migrate(database)
            await database.write(leases.acquire, "962302", "daemon-1", 3600.0)
            writer = Writer(database, "962302")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(writer.run)
                await _until(lambda: writer.acknowledged >= 50)
                ballast = small_disk / "ballast"
                fill(ballast)
                taken = await log_until(database, refused=True)
                ballast.unlink()
                began = trio.current_time()
                taken += await log_until(database, refused=False)
                resumed_s = trio.current_time() - began
                goal = writer.acknowledged + 50
                await _until(lambda: writer.acknowledged >= goal)
                nursery.cancel_scope.cancel()
            state = await auth_state.load(database, "962302")
            stored = await events.read(database, limit=1000)
    finally:
        await server.stop()

    assert state.position in (writer.acknowledged, writer.acknowledged + 1)
    assert len(stored) == taken
    assert resumed_s < patience(RESUMED_WITHIN_S)
    print(
        f"P4: {writer.acknowledged} key writes acknowledged, 0 lost; resumed {resumed_s:.2f} s after there was room; {writer.seen}"
    )
