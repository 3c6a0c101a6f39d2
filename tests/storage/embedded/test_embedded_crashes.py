"""storage/embedded/server.py after crashes: of the server, of its owner, in the middle of a start."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio

from storage.database.pool import open_database
from storage.embedded.binaries import packaged, resolve_account
from storage.embedded.process import is_serving, serving, spawn
from storage.embedded.server import EmbeddedPostgres
from storage.errors import EmbeddedPostgresError
from tests.support.embedded import (
    another_owner,
    ask,
    is_gone,
    maps_of,
    sleeper,
    started,
)
from tests.support.waiting import wait_until


@pytest.mark.slow
async def test_killed_and_started_again(cluster: Path) -> None:
    """After kill -9 of every process of the server its end is noticed, and the next start has all committed rows."""
    server = EmbeddedPostgres(cluster)
    async with started(server) as dsn:
        await ask(dsn, "CREATE TABLE kept (n INTEGER)")
        for pid in serving(server.data):
            os.kill(pid, signal.SIGKILL)

        assert await server.wait_exit() == -signal.SIGKILL

    async with started(server) as dsn:
        assert await ask(dsn, "SELECT count(*) FROM kept") == 0


async def test_a_killed_server_leaves_nothing_in_shared_memory(cluster: Path) -> None:
    """No process of the server maps a file outside its directory that would stay behind after kill -9."""
    server = EmbeddedPostgres(cluster)
    async with started(server) as dsn:
        await ask(dsn, "SELECT 1")
        mapped = [maps_of(pid) for pid in serving(server.data)]

    assert len(mapped) > 1
    assert not any("/dev/shm/PostgreSQL" in maps for maps in mapped)


@pytest.mark.slow
async def test_a_killed_postmaster_is_replaced(cluster: Path) -> None:
    """With the postmaster alone killed and its children still ending, the next start waits for them and succeeds."""
    server = EmbeddedPostgres(cluster)
    for _ in range(3):
        async with started(server) as dsn, open_database(dsn, size=4) as database:
            await database.fetchval("SELECT 1")
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await server.wait_exit()

    async with started(server) as dsn:
        assert await ask(dsn, "SELECT 1") == 1


@pytest.mark.slow
async def test_the_server_goes_with_its_owner(cluster: Path) -> None:
    """When the owner is killed with kill -9 the server shuts down by itself, cleanly, and the next owner starts it."""
    owner = another_owner(cluster)
    try:
        assert owner.stdout is not None
        pid = int(await trio.to_thread.run_sync(owner.stdout.readline))
    finally:
        owner.kill()
        owner.communicate()

    await wait_until(lambda: is_gone(pid), seconds=5)
    log = (cluster / "server.log").read_text()
    assert "database system is shut down" in log
    async with started(EmbeddedPostgres(cluster)) as dsn:
        assert await ask(dsn, "SELECT 1") == 1


@pytest.mark.slow
async def test_a_leftover_server_is_ended(cluster: Path) -> None:
    """A server that did outlive its owner is stopped, and a new one takes its place."""
    settings = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={cluster}/data"]
    account = resolve_account(None)
    with (cluster / "server.log").open("ab") as log:
        leftover = spawn(
            [str(packaged() / "bin" / "postgres"), "-D", f"{cluster}/data", *settings],
            account,
            cluster / "data",
            log,
            {},
        )
    try:
        await wait_until(lambda: "ready" in _read(cluster / "data" / "postmaster.pid"))
        async with started(EmbeddedPostgres(cluster)) as dsn:
            assert await ask(dsn, "SELECT 1") == 1

        assert leftover.wait(timeout=5) == 0
    finally:
        leftover.kill()
        leftover.wait()


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_another_owner_is_respected(cluster: Path) -> None:
    """While another process owns the server a start is refused, naming that process, and its server goes on."""
    owner = another_owner(cluster)
    try:
        assert owner.stdout is not None
        pid = int(await trio.to_thread.run_sync(owner.stdout.readline))
        with pytest.raises(EmbeddedPostgresError, match=f"pid {owner.pid}"):
            await EmbeddedPostgres(cluster).start()
        assert is_serving(pid, cluster / "data")
    finally:
        await trio.to_thread.run_sync(owner.communicate)  # the end of its input ends it

    assert owner.returncode == 0


@pytest.mark.parametrize("name", ["postmaster.pid", ".s.PGSQL.5432.lock"])
@pytest.mark.parametrize("kind", ["dead", "zombie", "somebody else"])
async def test_a_leftover_lock_file_is_no_obstacle(cluster: Path, kind: str, name: str) -> None:
    """One of the directory or of the socket that names a dead process, a zombie, or a process that is no server of this directory, is
    cleared away."""
    # As the server's account: the server itself knows that another account's process is no rival.
    process = sleeper()
    try:
        if kind != "somebody else":
            process.kill()
            await wait_until(lambda: is_gone(process.pid))
        if kind == "dead":
            process.wait()
        (cluster / "data" / name).write_text(f"{process.pid}\n{cluster}/data\n0\n5432\n\n\n0 0\nready\n")

        async with started(EmbeddedPostgres(cluster)) as dsn:
            assert await ask(dsn, "SELECT 1") == 1
    finally:
        process.kill()
        process.wait()


async def test_a_cluster_half_made_is_made_anew(directory: Path) -> None:
    """The files of an interrupted first start are deleted."""
    unfinished = directory / "postgres" / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    (directory / "postgres").chmod(0o711)

    async with started(EmbeddedPostgres(directory / "postgres")) as dsn:
        assert await ask(dsn, "SELECT 1") == 1

    assert not unfinished.exists()


async def test_a_cancelled_start_leaves_nothing(directory: Path) -> None:
    """Cancelled while it makes the cluster, a start leaves no process and no lock, and the next one succeeds."""
    server = EmbeddedPostgres(directory / "postgres")
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def cancel_in_the_middle() -> None:
                await wait_until((directory / "postgres" / "data.unfinished" / "postgresql.conf").exists)
                scope.cancel()

            nursery.start_soon(cancel_in_the_middle)
            await server.start()

    assert scope.cancelled_caught
    assert not server.data.exists()
    async with started(server) as dsn:
        assert await ask(dsn, "SELECT 1") == 1
