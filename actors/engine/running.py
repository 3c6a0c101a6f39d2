"""The engine process's main task: load the library, serve, end in order."""

from __future__ import annotations

import argparse
import os
from typing import final

import trio

from actors.child_process.ending import Ending
from actors.child_process.exits import CANNOT_START, SHUTDOWN_S
from actors.engine.device.schema import read_template
from actors.engine.device.sqlite import Sqlite
from actors.engine.errors import EngineError, UnknownSchema
from actors.engine.host import Host
from actors.engine.logs import EngineLog
from actors.engine.server import Server
from actors.engine.whatsmeow.announced_version import announce, own_version
from actors.engine.whatsmeow.library import Library
from config.reserve import Reserve


def run(options: argparse.Namespace) -> int:
    """Serve until ordered to end; return the exit status."""
    log = EngineLog()
    try:
        host = make_host(options)
    except (EngineError, UnknownSchema, OSError) as error:
        log.failure(f"cannot start: {error}")
        return CANNOT_START
    return trio.run(Running(host, options, log).main)


def make_host(options: argparse.Namespace) -> Host:
    """Load the library and check that its schema is the one we know."""
    options.devices.mkdir(mode=0o700, parents=True, exist_ok=True)
    library = Library()
    sqlite = Sqlite(library.path)
    version, fault = _announced(library, options.whatsapp_version)
    template = read_template(library, sqlite)
    return Host(
        whatsapp_version=version,
        version_fault=fault,
        library=library,
        sqlite=sqlite,
        template=template,
        devices=options.devices,
        max_companies=options.max_companies,
        reserve=Reserve(options.devices),
    )


def _announced(library: Library, wanted: str) -> tuple[str, str]:
    """Have the library announce the wanted version. Return what it announces, and why that is another version (or empty)."""
    try:
        return announce(library.path, wanted), ""
    except EngineError as error:
        return _own_version(library), str(error)


def _own_version(library: Library) -> str:
    """Return the version that the library announces by itself; empty when it is not found."""
    try:
        return own_version(library.path)
    except EngineError:
        return ""


@final
class Running:
    """One run of the process."""

    def __init__(self, host: Host, options: argparse.Namespace, log: EngineLog) -> None:
        self._host = host
        self._options = options
        self._log = log
        self._ending = Ending(log, options.control_within)

    async def main(self) -> int:
        server = Server(self._host, self._options.socket, shut_down=self._ending.shut_down)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ending.watch_signals)
            await nursery.start(server.serve)
            nursery.start_soon(self._ending.watch_control, server.controlled)
            await self._ending.asked.wait()
            await self._end_in_order(server)
            if self._host.companies:
                os._exit(self._ending.status)  # a thread is stuck in the library; everything that matters is on disk
            nursery.cancel_scope.cancel()
        return self._ending.status

    async def _end_in_order(self, server: Server) -> None:
        self._log.note("ending")
        server.closing.set()
        with trio.move_on_after(SHUTDOWN_S):
            while self._host.companies:
                await trio.sleep(0.01)
