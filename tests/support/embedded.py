"""Embedded servers for tests of themselves: the test's own, other processes', and their processes."""

from __future__ import annotations

import errno
import os
import pwd
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from storage.database.pool import open_database
from storage.embedded.binaries import barrier, resolve_account
from storage.embedded.server import EmbeddedPostgres

IS_ROOT = os.geteuid() == 0
REPOSITORY = Path(__file__).parents[2]

_OWNER = """
import sys, trio
from pathlib import Path
from storage.embedded.server import EmbeddedPostgres
async def own():
    server = EmbeddedPostgres(Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await trio.to_thread.run_sync(sys.stdin.read)
    await server.stop()
trio.run(own)
"""


@asynccontextmanager
async def started(server: EmbeddedPostgres) -> AsyncGenerator[str]:
    dsn = await server.start()
    try:
        yield dsn
    finally:
        await server.stop()


async def ask(dsn: str, sql: str) -> object:
    async with open_database(dsn, size=1) as database:
        return await database.fetchval(sql)  # pyright: ignore[reportArgumentType]


def another_owner(directory: Path, account: str | None = None, python: str = sys.executable) -> subprocess.Popen[str]:
    """Another process that owns the server in ``directory``; its first line of output is the server's pid."""
    paths = [str(REPOSITORY), *(path for path in sys.path if path.endswith("site-packages"))]
    return subprocess.Popen(
        [python, "-c", _OWNER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        user=account,
        group=None if account is None else pwd.getpwnam(account).pw_gid,
        extra_groups=None if account is None else [],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def python_for_nobody() -> str:
    """An interpreter of this version that the account `nobody` may run; skips the test when there is none."""
    nobody = resolve_account("nobody")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}")
    for candidate in map(Path, candidates):
        if candidate.exists() and barrier(candidate.resolve(), nobody) is None:
            return str(candidate)
    pytest.skip(f"the account nobody may run none of {', '.join(candidates)}")


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], user=resolve_account(None).uid if IS_ROOT else None)


def runs_as(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def program_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/exe").resolve()


def environment_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text()


def maps_of(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def let_everybody_look(path: Path) -> None:
    path.chmod(0o755)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as exc:
        return exc.errno == errno.ESRCH
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
