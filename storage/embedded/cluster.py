"""The embedded server's directory: its permissions, its one owner at a time, and the database cluster in it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import trio

from storage.embedded.binaries import MAJOR, Account, barrier
from storage.embedded.process import environment, spawn, wait_exit
from storage.errors import EmbeddedPostgresError

PORT: Final = "5432"
"""Part of the socket's name; no TCP port is opened."""

_SOCKET_NAME: Final = f".s.PGSQL.{PORT}"
SOCKET_LOCK: Final = f"{_SOCKET_NAME}.lock"
_SOCKET_PATH_LIMIT: Final = 100
"""Bytes that fit into a Unix socket's address, less a margin for systems that allow less."""

_INITDB: Final = (
    "--username=postgres",
    "--encoding=UTF8",
    "--no-instructions",
    "--auth-local=trust",
    "--auth-host=reject",
    # Built into the server, so that the sort order does not change with the system's C library.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)


def prepare_directory(directory: Path, account: Account) -> None:
    """Create the directory where it is missing, with the right to enter for all, and check that the account can reach it."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        directory.mkdir()
    except FileExistsError:
        pass
    else:
        directory.chmod(0o711)  # the account must reach its data, no other user needs to list it
    if (blocked := barrier(directory, account)) is not None:
        raise EmbeddedPostgresError(
            f"the account {account.name}, which the embedded server has to run as, may not pass {blocked}: "
            "choose a state directory that it can reach, such as /var/lib/wasup, or set DATABASE_URL"
        )


def take_ownership(directory: Path) -> int:
    """Lock the directory for this process while the returned descriptor is open. The kernel unlocks it when the process ends."""
    lock = os.open(directory / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(lock, 20).decode() or "unknown"
        os.close(lock)
        raise EmbeddedPostgresError(
            f"the embedded server in {directory} belongs to a running process (pid {owner}): "
            "stop that one, or use another state directory"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


async def ensure_cluster(data: Path, programs: Path, account: Account, timeout_s: float) -> None:
    """Create the database cluster where there is none. Raises for one that these programs or this account cannot run."""
    if not _is_there(data):
        await _make_cluster(data, programs, account, timeout_s)
    _check(data, account)


def _is_there(data: Path) -> bool:
    return data.exists()


def _check(data: Path, account: Account) -> None:
    owner = data.stat().st_uid
    if owner != account.uid:
        raise EmbeddedPostgresError(
            f"{data} belongs to uid {owner} and the server would run as {account.name}: "
            "start it as the user who made it, or move it away"
        )
    if (version := _version(data)) != MAJOR:
        raise EmbeddedPostgresError(
            f"{data} was made by PostgreSQL {version}, and the programs here are version {MAJOR}: dump and restore it"
        )


def _version(data: Path) -> str:
    try:
        return (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise EmbeddedPostgresError(f"{data} is no PostgreSQL cluster, it has no PG_VERSION: move it away") from None


async def _make_cluster(data: Path, programs: Path, account: Account, timeout_s: float) -> None:
    """Create it beside its place and move it there, so that an incomplete cluster is never used."""
    unfinished = data.with_name("data.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(unfinished, account.uid, account.gid)
    with tempfile.TemporaryFile() as output:
        command = [str(programs / "initdb"), "--pgdata", str(unfinished), *_INITDB]
        code = await _run(spawn(command, account, unfinished, output, environment()), timeout_s)
        if code != 0:
            output.seek(0)
            said = output.read(4000).decode(errors="replace").strip()
            raise EmbeddedPostgresError(f"making a database cluster in {data.parent} failed with code {code}: {said}")
    unfinished.rename(data)


async def _run(process: subprocess.Popen[bytes], timeout_s: float) -> int:
    try:
        with trio.move_on_after(timeout_s):
            return await wait_exit(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return process.wait()


def socket_directory(data: Path) -> Path:
    """Return the socket's directory: the data directory, or a short one when that path is too long for a socket's address."""
    if len(os.fsencode(data / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT:
        return data
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"wasup-{name}"


def prepare_socket_directory(directory: Path, account: Account) -> None:
    """Create it, for the account alone. Raises when something else is in its place."""
    try:
        directory.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(directory, account.uid, account.gid)
    except FileExistsError:
        facts = directory.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != account.uid or facts.st_mode & 0o077:
            raise EmbeddedPostgresError(
                f"{directory}, where the server's socket has to go, belongs to somebody else: remove it"
            ) from None
