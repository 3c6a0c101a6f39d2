"""The embedded Postgres as an actor."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
import trio

from actors.disk.state import DiskState
from actors.postgres import PostgresActor
from storage.database.pool import open_database
from storage.embedded.server import EmbeddedPostgres
from supervisor import Backoff, ChildSpec, Intensity, LifecycleEvent, SupervisorSpec, open_system
from tests.support.postgres import reachable_directory

pytestmark = pytest.mark.slow


async def test_the_server_dies_and_is_back_with_its_data() -> None:
    """kill -9 is the actor's crash: it is restarted, the data is there, and stopping leaves no process."""
    events: list[LifecycleEvent] = []
    directory = reachable_directory()
    try:
        await _kill_and_look(directory, events)
    finally:
        shutil.rmtree(directory)


async def _kill_and_look(directory: Path, events: list[LifecycleEvent]) -> None:
    server = EmbeddedPostgres(directory / "postgres")
    spec = ChildSpec(
        id="postgres", start=lambda _: PostgresActor(server, DiskState()), backoff=Backoff(minimum=0.01, maximum=1)
    )
    tree = SupervisorSpec([spec], intensity=Intensity(max_restarts=5, within=60.0))
    with trio.fail_after(60):
        async with open_system(tree, on_event=events.append) as system, open_database(server.dsn) as database:
            await database.execute("CREATE TABLE kept AS SELECT 7 AS number")
            first = server.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            while system.snapshot("/postgres").restarts == 0 or system.snapshot("/postgres").state != "running":
                await trio.sleep(0.01)
            kept = await database.fetchval("SELECT number FROM kept")
            second = server.pid

    assert (kept, second != first) == (7, True)
    assert any("PostgresDied" in str(event.reason) for event in events if event.kind == "crashed")
    assert server.pid is None
