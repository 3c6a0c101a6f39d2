"""The engine process: ``python -m actors.engine.process --socket PATH --devices DIR``.

A child of the daemon. It ends itself when the daemon dies (PR_SET_PDEATHSIG), when the control connection is lost or never comes, and
in order on SIGTERM or `EngineShutdown`. It uses neither standard input nor standard output: the library prints secrets there.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import resource
import signal
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from actors.engine.exits import CONTROL_LOST

_PR_SET_PDEATHSIG: Final = 1
_M_ARENA_MAX: Final = -8
STDERR_BYTES: Final = 1024 * 1024
"""What the daemon may leave unread of the log before lines are left out."""


def die_with_parent(parent: int | None) -> None:
    """Have the kernel end this process with its parent; end at once when the parent is already gone."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        os._exit(CONTROL_LOST)


def silence_stdout() -> None:
    """The library prints QR codes' endings and send errors there, unasked and unredacted."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def unblock_stderr() -> None:
    """Have a line that the daemon does not read in time be left out instead of waited for: what prints may hold one of the library's locks,
    and a process that panics is to end. A terminal or file, with which others share that mode, stays as it is."""
    if not stat.S_ISFIFO(os.fstat(sys.stderr.fileno()).st_mode):
        return
    with suppress(OSError):  # more than one user may have: the usual 64 KiB have to do
        fcntl.fcntl(sys.stderr.fileno(), fcntl.F_SETPIPE_SZ, STDERR_BYTES)
    os.set_blocking(sys.stderr.fileno(), False)


def raise_file_limit() -> None:
    """Every client holds some five descriptors, and every client that ended two for ever."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def share_arenas() -> None:
    """The C library would give each of hundreds of threads a heap of its own, and none gives back what another one freed."""
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m actors.engine.process", description="wasup's engine process; started by the daemon."
    )
    parser.add_argument(
        "--socket", type=Path, required=True, help="Unix socket to listen on, in a directory of mode 0700"
    )
    parser.add_argument("--devices", type=Path, required=True, help="directory of the device files")
    parser.add_argument("--max-companies", type=int, default=50, help="how many companies at most (default 50)")
    parser.add_argument(
        "--control-within", type=float, default=15.0, help="seconds to wait for the control connection (default 15)"
    )
    parser.add_argument(
        "--whatsapp-version", default="", help="the version of WhatsApp Web to announce (default: the library's own)"
    )
    parser.add_argument("--parent", type=int, default=None, help="pid of the daemon; without it any parent will do")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to end; the exit status."""
    options = parse(arguments)
    os.umask(0o077)  # SQLite makes its files, and those beside them, for all to read
    die_with_parent(options.parent)
    silence_stdout()
    unblock_stderr()
    raise_file_limit()
    share_arenas()

    # Not before: loading takes a third of a second and the parent may be gone by then.
    from actors.engine.running import run

    return run(options)


if __name__ == "__main__":
    status = main()
    # The library's threads never end by themselves, and an interpreter that waits for them or is torn down under them would not either.
    os._exit(status)
