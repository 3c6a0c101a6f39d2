"""A PgBouncer of the test's own in transaction mode: Debian's `pgbouncer`, which can be killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

import pytest

from config.postgres_url import PostgresUrl, read
from tests.support.postgres import PostgresServer, reachable_directory

START_WITHIN_S: Final = 20.0
_PORT: Final = 6432
_ACCOUNT: Final = "nobody"
"""It refuses to run as root."""


@final
class PgBouncer:
    """In front of every database of a server, on a Unix socket in a directory of its own."""

    def __init__(self, program: str, server_dsn: str, directory: Path, sessions: int, more: str) -> None:
        self._program = program
        self._server = read(server_dsn)
        self._directory = directory
        self._sessions = sessions
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None

    def url_of(self, dsn: str) -> PostgresUrl:
        """A database of the server, by way of this."""
        return read(f"postgresql://postgres@/{read(dsn).database}?host={self._directory}&port={_PORT}")

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        self._socket.unlink(missing_ok=True)
        file = self._directory / "pgbouncer.ini"
        file.write_text(self._settings())
        (self._directory / "users").write_text('"postgres" ""\n')
        self._process = subprocess.Popen(
            [self._program, "--quiet", str(file)],
            user=_ACCOUNT if os.geteuid() == 0 else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(round(START_WITHIN_S / 0.02)):
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(self._socket)) == 0:
                    return
            try:
                status = self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"pgbouncer ended with status {status}: {(self._directory / 'log').read_text()}")
        raise RuntimeError(f"pgbouncer did not start within {START_WITHIN_S:g} s")

    def kill(self) -> None:
        """SIGKILL, as at a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def _socket(self) -> Path:
        return self._directory / f".s.PGSQL.{_PORT}"

    def _settings(self) -> str:
        (host, port), *_ = self._server.hosts
        return f"""
            [databases]
            * = host={host} port={port}
            [pgbouncer]
            pool_mode = transaction
            default_pool_size = {self._sessions}
            max_client_conn = 500
            listen_addr =
            listen_port = {_PORT}
            unix_socket_dir = {self._directory}
            auth_type = trust
            auth_file = {self._directory / "users"}
            logfile = {self._directory / "log"}
            {self._more}
        """.replace("            ", "")


@contextmanager
def running_pgbouncer(server_dsn: str, *, sessions: int = 4, more: str = "") -> Generator[PgBouncer]:
    """Run one that has at most ``sessions`` with the server for each database, and ``more`` settings; skip where none is installed."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed (Debian's package pgbouncer)")
    directory = reachable_directory()
    if os.geteuid() == 0:
        account = pwd.getpwnam(_ACCOUNT)
        os.chown(directory, account.pw_uid, account.pw_gid)
    bouncer = PgBouncer(program, server_dsn, directory, sessions, more)
    try:
        bouncer.start()
        yield bouncer
    finally:
        bouncer.kill()
        shutil.rmtree(directory)


@pytest.fixture
def pgbouncer(postgres_server: PostgresServer) -> Generator[PgBouncer]:
    """A running one in front of the session's server."""
    with running_pgbouncer(postgres_server.dsn) as bouncer:
        yield bouncer
