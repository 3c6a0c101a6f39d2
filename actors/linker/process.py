"""The linker: ``python -m actors.linker.process --socket PATH``, a child of the daemon that links devices and does nothing else.

It ends itself when the daemon dies, when the control connection is lost or never comes, and on SIGTERM or `EngineShutdown`. It stores
nothing itself: the credentials are in Postgres before WhatsApp hears that they were accepted.
"""

from __future__ import annotations

import argparse
import os
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import final

import trio

from actors.child_process.ending import Ending
from actors.child_process.exits import CANNOT_START
from actors.child_process.setup import die_with_parent, raise_file_limit, silence_stdout, unblock_stderr
from actors.engine.logs import EngineLog
from actors.linker.device import DEFAULT_VERSION
from actors.linker.serving import Server
from actors.linker.wire.messages import load_messages


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m actors.linker.process", description="wasup's linker; started by the daemon."
    )
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket, in a directory of mode 0700")
    parser.add_argument("--devices", type=Path, help="not used: nothing is kept here")
    parser.add_argument("--max-companies", type=int, default=50, help="pairings at once (default 50)")
    parser.add_argument(
        "--control-within", type=float, default=15.0, help="seconds to wait for the control connection (default 15)"
    )
    parser.add_argument(
        "--commit-within",
        type=float,
        default=15.0,
        help="seconds the daemon has to store a new device, for which WhatsApp and the phone wait (default 15)",
    )
    parser.add_argument(
        "--whatsapp-version", default="", help=f"of WhatsApp Web, to announce (default {DEFAULT_VERSION})"
    )
    parser.add_argument("--parent", type=int, default=None, help="pid of the daemon; without it any parent will do")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until ordered to end; return the exit status."""
    options = parse(arguments)
    os.umask(0o077)
    die_with_parent(options.parent)
    silence_stdout()
    unblock_stderr()
    raise_file_limit()
    return trio.run(Running(options).main)


@final
class Running:
    """One run of the process."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._log = EngineLog()
        self._ending = Ending(self._log, options.control_within)

    async def main(self) -> int:
        try:
            messages, tls = load_messages(), ssl.create_default_context()
        except (ImportError, OSError) as error:
            self._log.failure(f"cannot start: {error}")
            return CANNOT_START
        server = Server(
            messages,
            tls,
            self._ending.shut_down,
            max_companies=self._options.max_companies,
            commit_within_s=self._options.commit_within,
            version=self._options.whatsapp_version or DEFAULT_VERSION,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ending.watch_signals)
            await nursery.start(server.serve, self._options.socket)
            nursery.start_soon(self._ending.watch_control, server.controlled)
            await self._ending.asked.wait()
            nursery.cancel_scope.cancel()
        return self._ending.status


if __name__ == "__main__":
    raise SystemExit(main())
