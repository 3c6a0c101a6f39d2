"""The engine process: ``python -m actors.engine.process --socket PATH --devices DIR``.

A child of the daemon. It ends itself when the daemon dies (PR_SET_PDEATHSIG), when the control connection is lost or never comes, and
in order on SIGTERM or `EngineShutdown`. It uses neither standard input nor standard output: the library prints secrets there.
"""

from __future__ import annotations

import argparse
import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from actors.child_process.setup import die_with_parent, raise_file_limit, silence_stdout, unblock_stderr

_M_ARENA_MAX: Final = -8


def share_arenas() -> None:
    """Have all threads share few heaps: the C library would give each of hundreds of threads its own, and memory that another thread
    freed would not be returned."""
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
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
    """Run until ordered to end; return the exit status."""
    options = parse(arguments)
    os.umask(0o077)  # else SQLite makes its files readable for all users
    die_with_parent(options.parent)
    silence_stdout()
    unblock_stderr()
    raise_file_limit()
    share_arenas()

    # Imported here: loading takes a third of a second, and the parent may be gone by then.
    from actors.engine.running import run

    return run(options)


if __name__ == "__main__":
    status = main()
    # The library's threads never end by themselves, and an interpreter that waits for them or is torn down under them would not either.
    os._exit(status)
