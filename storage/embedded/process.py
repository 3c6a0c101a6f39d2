"""Starts a server process that cannot outlive us, and finds those that did."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import trio

from storage.embedded.binaries import Account

_PR_SET_PDEATHSIG: Final = 1


def spawn(
    command: Sequence[str], account: Account, cwd: Path, output: IO[bytes], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start ``command`` as the account, in its own process group. It gets SIGINT when this process dies.

    The kernel ties that signal to the starting thread, and trio's worker threads come and go: only the main thread may
    call this.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("the server must be started from the main thread, whose end is the end of the process")
    root = os.geteuid() == 0
    return subprocess.Popen(  # noqa: S603  our own programs, no shell
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=dict(environment),
        umask=0o077,
        process_group=0,  # a Ctrl-C at the terminal is ours to handle: we still have to write
        preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
        user=account.uid if root else None,
        group=account.gid if root else None,
        extra_groups=[] if root else None,
    )


def _die_with_parent() -> Callable[[], None]:
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)

    return before_exec


async def wait_exit(process: subprocess.Popen[bytes]) -> int:
    """Wait for the process to end, reap it and return its exit code. Any number of tasks may wait."""
    if process.poll() is None:
        try:
            watch = os.pidfd_open(process.pid)
        except (AttributeError, OSError):  # not Linux, or a kernel before 5.3
            return await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
        try:
            await trio.lowlevel.wait_readable(watch)
        finally:
            os.close(watch)
    return process.wait()


def postmaster_pid(data: Path) -> int | None:
    """Return the pid in the data directory's lock file, None without a readable one."""
    try:
        return int((data / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def is_serving(pid: int, data: Path) -> bool:
    """Return whether this pid is a live server process of this data directory: not a zombie, not another program with the same number."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX" and Path(f"/proc/{pid}/cwd").resolve() == data.resolve() and _is_postgres(pid)
    except OSError:
        return False


def serving(data: Path) -> list[int]:
    """Return all live server processes of this data directory (Linux; elsewhere none are found)."""
    try:
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return []
    return [pid for pid in pids if is_serving(pid, data)]


def _is_postgres(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"


def send(pid: int, signum: signal.Signals) -> None:
    """Signal a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


def environment() -> dict[str, str]:
    """Return the environment for the server's programs, without ours: PG* variables would affect them, and they need no secrets."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
