"""storage/embedded/server.py: the life of a real server, from its first start to its stop."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import time
from pathlib import Path

import pytest
import trio
import trio.testing

from storage.database.pool import open_database
from storage.embedded.binaries import resolve_account
from storage.embedded.log import LIMIT
from storage.embedded.process import serving
from storage.embedded.server import EmbeddedPostgres
from storage.errors import EmbeddedPostgresError
from tests.support.bars import patience
from tests.support.embedded import (
    IS_ROOT,
    another_owner,
    ask,
    environment_of,
    is_gone,
    python_for_nobody,
    runs_as,
    started,
)
from tests.support.waiting import wait_until


@pytest.mark.slow
async def test_a_first_start_makes_a_cluster(directory: Path) -> None:
    """A first start gives an empty PostgreSQL 18, owned by the account it runs as and readable by no other."""
    server = EmbeddedPostgres(directory / "new" / "postgres")

    async with started(server) as dsn:
        assert str(await ask(dsn, "SHOW server_version")).startswith("18.")
        assert await ask(dsn, "SHOW fsync") == "on"
        assert await ask(dsn, "SELECT datcollversion IS NOT NULL AND datlocprovider = 'b' FROM pg_database LIMIT 1")
        assert server.pid is not None
        account = resolve_account(None)
        assert runs_as(server.pid) == account.uid
        assert account.name == ("nobody" if IS_ROOT else pwd.getpwuid(os.geteuid()).pw_name)
        assert (server.data.stat().st_uid, server.data.stat().st_mode & 0o777) == (account.uid, 0o700)
        assert os.getpgid(server.pid) != os.getpgrp(), "a Ctrl-C at the terminal would stop it"

    assert server.pid is None
    assert serving(server.data) == []


async def test_two_starts_in_a_row(cluster: Path) -> None:
    """The same object starts again after a stop, on the same DSN and the same data."""
    server = EmbeddedPostgres(cluster)
    async with started(server) as first:
        await ask(first, "CREATE TABLE kept (n INTEGER)")

    async with started(server) as second:
        assert await ask(second, "SELECT count(*) FROM kept") == 0

    assert first == second == server.dsn


async def test_starting_twice_is_refused(cluster: Path) -> None:
    """A started server is not started again, by this object or another of the same process, and goes on running."""
    server = EmbeddedPostgres(cluster)
    async with started(server) as dsn:
        with pytest.raises(EmbeddedPostgresError, match="started already"):
            await server.start()
        with pytest.raises(EmbeddedPostgresError, match=f"pid {os.getpid()}"):
            await EmbeddedPostgres(cluster).start()

        assert await ask(dsn, "SELECT 1") == 1


async def test_the_log_of_a_running_server_is_kept_small(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a task waits for the server's end, its log is cut when it has grown, and the server goes on writing to
    it."""
    monkeypatch.setattr("storage.embedded.server._LOG_CHECK_S", 0.01)
    server = EmbeddedPostgres(cluster)
    log = cluster / "server.log"
    async with started(server) as dsn, trio.open_nursery() as nursery:
        nursery.start_soon(server.wait_exit)
        fill(log)
        await wait_until(lambda: size_of(log) == 0)
        await ask(dsn, "DO $$ BEGIN RAISE WARNING 'written after that'; END $$")
        nursery.cancel_scope.cancel()

    assert "written after that" in log.read_text()
    assert log.with_name("server.log.1").exists()


def fill(log: Path) -> None:
    with log.open("ab") as writer:
        writer.write(b"x" * (LIMIT + 1))


def size_of(path: Path) -> int:
    return path.stat().st_size


async def test_waiting_for_a_server_not_started(cluster: Path) -> None:
    """Before the start there is no end to wait for."""
    with pytest.raises(EmbeddedPostgresError, match="not started"):
        await EmbeddedPostgres(cluster).wait_exit()


@pytest.mark.slow
@pytest.mark.skipif(not IS_ROOT, reason="the other tests run as an ordinary user already")
async def test_an_ordinary_user_can_own_a_server(directory: Path) -> None:
    """Started by an ordinary user, the whole life of a server works as that user."""
    home = directory / "home"
    home.mkdir()
    shutil.chown(home, "nobody")
    owner = another_owner(home / "postgres", "nobody", python_for_nobody())

    assert owner.stdout is not None
    pid = int(await trio.to_thread.run_sync(owner.stdout.readline))
    assert runs_as(pid) == pwd.getpwnam("nobody").pw_uid
    await trio.to_thread.run_sync(owner.communicate)

    assert owner.returncode == 0
    assert is_gone(pid)


@pytest.mark.slow
async def test_stopping_a_stopped_server_is_bounded(cluster: Path) -> None:
    """A server that does not react is killed after the time-outs, and no process of it is left."""
    server = EmbeddedPostgres(cluster, stop_timeout_s=0.2)
    await server.start()
    for pid in serving(server.data):
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()

    await server.stop()

    assert time.monotonic() - began < patience(0.2 + 2.0)
    await wait_until(lambda: serving(server.data) == [])
    assert server.pid is None


async def test_the_end_is_seen_by_all_who_wait(cluster: Path) -> None:
    """Several tasks may wait for the server's end; a regular stop is exit code 0."""
    server = EmbeddedPostgres(cluster)
    codes: list[int] = []

    async def wait() -> None:
        codes.append(await server.wait_exit())

    await server.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await server.stop()

    assert codes == [0, 0]


async def test_nothing_secret_reaches_the_server(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment holds none of our variables, and its log quotes neither statements nor values, refused ones
    included."""
    monkeypatch.setenv("DATABASE_URL", "canary-environment")
    server = EmbeddedPostgres(cluster)
    async with started(server) as dsn:
        async with open_database(dsn, size=1) as database:
            await database.execute("CREATE TABLE t (v TEXT CHECK (v = ''))")
            for sql in ("INSERT INTO t VALUES ('canary-value')", "SELECT 'canary-statement' FROM nowhere"):
                with pytest.raises(Exception, match="SQLSTATE"):
                    await database.execute(sql)  # pyright: ignore[reportArgumentType]
        assert server.pid is not None
        assert "canary" not in environment_of(server.pid)

    log = (cluster / "server.log").read_text()
    assert "violates check constraint" in log
    assert "canary" not in log


async def test_the_environment_does_not_lead_astray(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables meant for other PostgreSQL clients change neither the server nor the connection to it."""
    for name, value in {"PGPORT": "1", "PGHOST": "/nowhere", "PGDATABASE": "none", "PGDATA": "/nowhere"}.items():
        monkeypatch.setenv(name, value)

    async with started(EmbeddedPostgres(cluster)) as dsn:
        assert await ask(dsn, "SELECT 1") == 1


async def test_only_the_main_thread_may_start_it(cluster: Path) -> None:
    """The kernel ends the server with the thread that starts it, so any but the main one is refused."""

    def start_in_thread() -> None:
        trio.run(EmbeddedPostgres(cluster).start)

    with pytest.raises(RuntimeError, match="main thread"):
        await trio.to_thread.run_sync(start_in_thread)

    assert serving(cluster / "data") == []
