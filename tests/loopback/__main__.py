"""``python -m tests.loopback``: a loopback WhatsApp in a process of its own.

Prints one JSON line (`tests.loopback.endpoints.Endpoints`) when it is ready. Ends on SIGTERM or SIGINT and, unless
``--keep-running`` is given, when its standard input ends, so that it never outlives the test that started it.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
from pathlib import Path

import msgspec
import trio

from tests.loopback.control import serve_control
from tests.loopback.server import open_loopback


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.loopback", description="A loopback WhatsApp on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="port of the CONNECT proxy (default: any)")
    parser.add_argument("--websocket-port", type=int, default=0, help="port of the plain WebSocket (default: any)")
    parser.add_argument("--directory", type=Path, help="for the CA file and the control socket (default: temporary)")
    parser.add_argument("--keep-running", action="store_true", help="do not end with standard input")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace, directory: Path) -> None:
    control = directory / "control.sock"
    async with (
        open_loopback(
            proxy_port=arguments.port,
            websocket_port=arguments.websocket_port,
            directory=directory,
            control=str(control),
        ) as loopback,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_end_on_signal, nursery.cancel_scope)
        await nursery.start(serve_control, loopback, control)
        print(msgspec.json.encode(loopback.endpoints).decode(), flush=True)
        if not arguments.keep_running:
            nursery.start_soon(_end_with_stdin, nursery.cancel_scope)


async def _end_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel(reason="signal")


async def _end_with_stdin(scope: trio.CancelScope) -> None:
    async with trio.lowlevel.FdStream(sys.stdin.fileno()) as stdin:
        async for _ in stdin:
            pass
    scope.cancel(reason="standard input ended")


def _allow_many_connections() -> None:
    """Raise the soft limit of file descriptors: a benchmark holds 1,000 clients, one each; common limits are 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    """Run until told to end."""
    arguments = _arguments()
    _allow_many_connections()
    with tempfile.TemporaryDirectory(prefix="loopback-") as temporary:
        directory = arguments.directory or Path(temporary)
        trio.run(_run, arguments, directory)


if __name__ == "__main__":
    main()
