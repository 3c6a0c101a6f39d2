"""What a child process of the daemon does before anything else: it must not outlive the daemon, and must not print where none reads."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import stat
import sys
from contextlib import suppress
from typing import Final

from actors.child_process.exits import CONTROL_LOST

_PR_SET_PDEATHSIG: Final = 1
STDERR_BYTES: Final = 1024 * 1024
"""How much of the log the daemon may leave unread before lines are dropped."""


def die_with_parent(parent: int | None) -> None:
    """Have the kernel end this process with its parent; end at once when the parent is already gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(CONTROL_LOST)


def silence_stdout() -> None:
    """Discard standard output, where the library prints the endings of QR codes and send errors unredacted."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def unblock_stderr() -> None:
    """Drop a line that the daemon does not read in time, instead of waiting: the printing thread may hold one of the library's locks,
    and a panicking process has to end. A terminal or file is left as it is, since other processes share its mode."""
    if not stat.S_ISFIFO(os.fstat(sys.stderr.fileno()).st_mode):
        return
    with suppress(OSError):  # above the user's limit: the usual 64 KiB have to do
        fcntl.fcntl(sys.stderr.fileno(), fcntl.F_SETPIPE_SZ, STDERR_BYTES)
    os.set_blocking(sys.stderr.fileno(), False)


def raise_file_limit() -> None:
    """Raise the limit of descriptors: every client holds about five, and every client that ended keeps two for ever."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
