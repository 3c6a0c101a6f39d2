"""Several daemons on one database and one WhatsApp: real daemons, a real Postgres, each daemon with a state directory of its own."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import trio

from storage.embedded.server import EmbeddedPostgres
from tests.loopback.endpoints import Endpoints
from tests.loopback.remote import RemoteLoopback, connect_loopback
from tests.support.api import Api, open_api
from tests.support.daemon import Daemon
from tests.support.postgres import reachable_directory
from tests.support.site import open_site


@dataclass(frozen=True, slots=True)
class Fleet:
    """The daemons, the first of which has made the admin key that all accept."""

    daemons: tuple[Daemon, ...]
    endpoints: Endpoints
    dsn: str


@dataclass(frozen=True, slots=True)
class Clients:
    """The test's clients of a fleet."""

    apis: tuple[Api, ...]
    loopback: RemoteLoopback


@contextmanager
def open_fleet(count: int, settings: Mapping[str, str]) -> Generator[Fleet]:
    """Start Postgres, WhatsApp and ``count`` daemons; all are ended afterwards. A failure shows the ends of their logs."""
    directory = reachable_directory()
    server = EmbeddedPostgres(directory / "postgres")
    try:
        dsn = trio.run(server.start)
        with open_site({**settings, "DATABASE_URL": dsn}) as site:
            others = [
                Daemon(site.directory / f"state-{number}", site.daemon.environment, site.directory / f"{number}.log")
                for number in range(1, count)
            ]
            daemons = (site.daemon, *others)
            try:
                trio.run(_start, daemons)
                yield Fleet(daemons, site.endpoints, dsn)
            except BaseException:
                print(*(daemon.tail() for daemon in daemons), sep="\n--- the next daemon:\n")
                raise
            finally:
                for daemon in others:
                    daemon.end()
    finally:
        trio.run(server.stop)
        shutil.rmtree(directory)


async def _start(daemons: tuple[Daemon, ...]) -> None:
    for daemon in daemons:
        await start(daemon, key_of=daemons[0])


async def start(daemon: Daemon, *, key_of: Daemon) -> None:
    """Start one daemon and wait until it serves; only the first of a database makes a key."""
    daemon.start()
    await daemon.wait_ready()
    if daemon is not key_of:
        shutil.copy(key_of.state_dir / "admin.key", daemon.state_dir)


@asynccontextmanager
async def clients_of(fleet: Fleet) -> AsyncGenerator[Clients]:
    """A client of each daemon, and the loopback."""
    async with AsyncExitStack() as stack:
        loopback = await stack.enter_async_context(connect_loopback(fleet.endpoints))
        apis = [await stack.enter_async_context(open_api(daemon)) for daemon in fleet.daemons]
        yield Clients(tuple(apis), loopback)
