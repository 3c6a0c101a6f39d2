"""A PostgreSQL server of our own in one directory: started, watched and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, final
from urllib.parse import quote

import trio

from storage.embedded import cluster as postgres_cluster
from storage.embedded.binaries import Account, programs_for, resolve_account
from storage.embedded.log import ServerLog
from storage.embedded.process import environment, is_serving, postmaster_pid, send, serving, spawn, wait_exit
from storage.errors import EmbeddedPostgresError

_TICK_S: Final = 0.005
_LOG_CHECK_S: Final = 60.0
_LEFTOVERS_S: Final = 5.0
"""For each of three increasingly forceful ways to end a server without an owner."""

SETTINGS: Final[Mapping[str, str]] = {
    # Small: 11 MB for the idle server instead of 21.
    "shared_buffers": "32MB",
    "io_method": "sync",
    "max_connections": "40",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
    "huge_pages": "off",
    # In the data directory, where the next start finds the remains of a killed server; /dev/shm would keep them for
    # ever.
    "dynamic_shared_memory_type": "mmap",
    # Reachable by its socket only.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    # A log that says what happened but quotes neither statements nor stored values.
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


@final
class EmbeddedPostgres:
    """One server in one data directory. One process at a time owns it, and it ends with that process,
    however that ends.

    Layout of ``directory``: ``data`` (the cluster), ``server.log``, ``owner.lock``, and ``postgres-VERSION`` (copied
    programs, where needed). As root, the account the server runs as must be able to enter (o+x) ``directory`` and everything
    above it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        user: str | None = None,
        settings: Mapping[str, str] | None = None,
        programs: Path | None = None,
        start_timeout_s: float = 120.0,
        stop_timeout_s: float = 10.0,
    ) -> None:
        """``user``: the account to run as, for root only (None: `nobody`). ``settings`` override `SETTINGS`, ``programs`` the wheel's.

        ``start_timeout_s`` includes the replay of the server's log after a crash; ``stop_timeout_s`` is for a fast
        shutdown. An immediate shutdown then gets two seconds before the server is killed.
        """
        self._directory = directory.absolute()
        self._user = user
        self._settings = {**SETTINGS, **(settings or {})}
        self._programs = programs
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._log = ServerLog(self._directory / "server.log")
        self._socket_directory = postgres_cluster.socket_directory(self.data)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def data(self) -> Path:
        """The cluster's directory."""
        return self._directory / "data"

    @property
    def dsn(self) -> str:
        """The URL of a started server; always the same for a directory."""
        # The port is part of the socket's name, and would otherwise be taken from PGPORT.
        return f"postgresql://postgres@/postgres?host={quote(str(self._socket_directory), safe='')}&port={postgres_cluster.PORT}"

    async def start(self) -> str:
        """Start the server, with a new cluster when there is none, and return its DSN once it accepts connections.

        Clears what earlier owners left. Must be called on the main thread. Raises `EmbeddedPostgresError` for a wrong
        account or permissions, a directory in use by another process, or a server that does not come up (the message
        then ends with its log's last lines). When it fails or is cancelled, nothing keeps running.
        """
        if self._lock is not None:
            raise EmbeddedPostgresError(f"the server in {self._directory} is started already: stop it first")
        account = resolve_account(self._user)
        try:
            postgres_cluster.prepare_directory(self._directory, account)
            self._lock = postgres_cluster.take_ownership(self._directory)
        except OSError as exc:
            raise EmbeddedPostgresError(
                f"{self._directory} cannot be used ({exc.strerror}): run as the user who made it, or choose another"
            ) from exc
        try:
            await self._start_owned(account)
        except BaseException:
            await self.stop()
            raise
        return self.dsn

    async def wait_exit(self) -> int:
        """Wait until the server has ended, by itself or by `stop`, and return its exit code (negative: the signal).

        Any number of tasks may wait. Keeps the log small meanwhile.
        """
        process = self._process
        if process is None:
            raise EmbeddedPostgresError(f"the server in {self._directory} is not started")
        while True:
            with trio.move_on_after(_LOG_CHECK_S):
                return await wait_exit(process)
            self._log.limit()

    async def stop(self) -> None:
        """Stop the server, with more force the longer it takes, and reap it. Does nothing when it is stopped.

        Not cancellable, but bounded: ``stop_timeout_s`` and two seconds.
        """
        with trio.CancelScope(shield=True):
            if self._process is not None:
                await self._stop_process(self._process)
                self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _start_owned(self, account: Account) -> None:
        programs = await trio.to_thread.run_sync(programs_for, account, self._directory, self._programs)
        await self._clear_leftovers()
        await postgres_cluster.ensure_cluster(self.data, programs, account, self._start_timeout_s)
        if self._socket_directory != self.data:
            postgres_cluster.prepare_socket_directory(self._socket_directory, account)
        self._log.limit()
        with trio.move_on_after(self._start_timeout_s):
            while not await self._try_start(programs, account):
                await trio.sleep(0.1)
            return
        raise EmbeddedPostgresError(
            f"the server in {self._directory} did not accept connections within {self._start_timeout_s:g} s. "
            + self._log.tail()
        )

    async def _clear_leftovers(self) -> None:
        """End processes that still run in the directory: we own it, so they have lost their owner."""
        if sys.platform != "linux":
            return  # the server itself refuses to start beside another
        for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            pid = postmaster_pid(self.data)
            leaders = [pid] if pid is not None and is_serving(pid, self.data) else []
            for leftover in leaders if signum is not signal.SIGKILL else serving(self.data):
                send(leftover, signum)
            if await self._gone_within(_LEFTOVERS_S):
                break
        # Each lock file names a dead process, a zombie, or another process with the same number; the server would take
        # the last two for a rival.
        for lock in (self.data / "postmaster.pid", self._socket_directory / postgres_cluster.SOCKET_LOCK):
            lock.unlink(missing_ok=True)

    async def _gone_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            while serving(self.data):
                await trio.sleep(_TICK_S)
            return True
        return False

    async def _try_start(self, programs: Path, account: Account) -> bool:
        settings = {
            **self._settings,
            "unix_socket_directories": str(self._socket_directory),
            "port": postgres_cluster.PORT,
        }
        command = [str(programs / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self._log.open() as log:
            position = log.tell()
            self._process = spawn(command, account, self.data, log, environment())
        return await self._wait_ready(self._process, position)

    async def _wait_ready(self, process: subprocess.Popen[bytes], log_position: int) -> bool:
        """Return True once it accepts connections; False when a start is worth another try."""
        while process.poll() is None:
            if self._reported_ready(process.pid):
                return True
            await trio.sleep(_TICK_S)
        said = self._log.tail(log_position)
        if "pre-existing shared memory block" in said:
            return False  # the last processes of a killed server are still ending
        raise EmbeddedPostgresError(
            f"the server in {self._directory} ended with code {process.returncode} while starting. {said}"
        )

    def _reported_ready(self, pid: int) -> bool:
        """Return whether its lock file says so: the first line is the pid, the eighth the status."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    async def _stop_process(self, process: subprocess.Popen[bytes]) -> None:
        for signum, seconds in ((signal.SIGINT, self._stop_timeout_s), (signal.SIGQUIT, 2.0)):
            if process.poll() is not None:
                return
            send(process.pid, signum)
            with trio.move_on_after(seconds):
                await wait_exit(process)
        if process.poll() is None:
            process.kill()
            process.wait()
            for pid in serving(self.data):
                send(pid, signal.SIGKILL)
