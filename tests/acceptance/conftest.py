"""One loopback WhatsApp and one daemon per module, as its `PLAN` asks for, and clients for both."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import cast

import pytest
import trio

from storage.embedded.server import EmbeddedPostgres
from tests.acceptance.peer import Peer, open_peers
from tests.loopback.peers import start_neonize
from tests.loopback.remote import RemoteLoopback, connect_loopback
from tests.support.api import Api, open_api
from tests.support.pgbouncer import PgBouncer, running_pgbouncer
from tests.support.postgres import reachable_directory
from tests.support.site import Plan, Site, join_whatsapp, link_by_qr, open_site


@pytest.fixture(scope="module")
def plan(request: pytest.FixtureRequest) -> Plan:
    """The module's `PLAN`."""
    return cast("Plan", request.module.PLAN)  # pyright: ignore[reportUnknownMemberType]  # pytest knows it as Any


@pytest.fixture
def reachable() -> Generator[Path]:
    """A directory that the embedded server's account can enter, also when this is root's."""
    directory = reachable_directory()
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def database(plan: Plan) -> Generator[EmbeddedPostgres | None]:
    """A running server of the test's own, where the module's plan has one."""
    if not plan.has_own_database:
        yield None
        return
    directory = reachable_directory()
    server = EmbeddedPostgres(directory / "postgres")
    try:
        trio.run(server.start)
        yield server
    finally:
        trio.run(server.stop)
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def pooler(plan: Plan, database: EmbeddedPostgres | None) -> Generator[PgBouncer | None]:
    """A running PgBouncer in front of that server, where the module's plan has one."""
    if database is None or not plan.has_pooler:
        yield None
        return
    with running_pgbouncer(database.dsn, sessions=4) as bouncer:
        yield bouncer


@pytest.fixture(scope="module")
def site(plan: Plan, database: EmbeddedPostgres | None, pooler: PgBouncer | None) -> Generator[Site]:
    """The module's site: its companies are linked and connected."""
    settings = dict(plan.settings)
    if database is not None:
        settings["DATABASE_URL"] = database.dsn if pooler is None else pooler.url_of(database.dsn).reveal()
    with open_site(settings) as site:
        site.daemon.start()
        trio.run(prepare, site, plan)
        yield site


async def prepare(site: Site, plan: Plan) -> None:
    await site.daemon.wait_ready()
    async with connect_loopback(site.endpoints) as loopback, open_api(site.daemon) as api:
        await join_whatsapp(loopback, [*plan.companies, *plan.others])
        for user in plan.companies:
            await link_by_qr(api, loopback, user)


@pytest.fixture
async def api(site: Site) -> AsyncGenerator[Api]:
    """The daemon's API; the daemon runs and serves it."""
    if not site.daemon.is_running:  # a test before this one failed halfway through a restart
        await site.daemon.restart()
    async with open_api(site.daemon) as api:
        yield api


@pytest.fixture
async def loopback(site: Site) -> AsyncGenerator[RemoteLoopback]:
    """The loopback WhatsApp."""
    async with connect_loopback(site.endpoints) as loopback:
        yield loopback


@pytest.fixture
async def peers(plan: Plan, site: Site, loopback: RemoteLoopback) -> AsyncGenerator[tuple[Peer, ...]]:
    """Real WhatsApp clients outside wasup, of the plan's other users: linked, connected, and the same ones in every test."""
    async with open_peers(start_neonize, plan.others, site, loopback) as peers:
        yield peers


@pytest.fixture
def listener(peers: tuple[Peer, ...]) -> Peer:
    """The first of them."""
    return peers[0]


@pytest.fixture
def talker(peers: tuple[Peer, ...]) -> Peer:
    """The second of them."""
    return peers[1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of the daemon's log to the report of a failed test."""
    report = yield
    site = getattr(item, "funcargs", {}).get("site")
    if report.failed and isinstance(site, Site):
        report.sections.append(("the daemon's log", site.daemon.tail()))
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this directory."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.acceptance)
