"""L2: two daemons on one database, and one of them is killed."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest
import trio

from storage.database.pool import open_database
from storage.embedded.server import EmbeddedPostgres
from tests.acceptance.witness import witness
from tests.loopback.remote import RemoteLoopback, connect_loopback
from tests.support.api import Api, open_api
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.site import Plan, Site, User

pytestmark = pytest.mark.chaos

USERS = tuple(User(number) for number in range(1, 5))
NAMES = tuple(user.company for user in USERS)
TTL_S = 6.0
PLAN = Plan(
    companies=USERS,
    settings={"WASUP_LEASE_TTL_S": f"{TTL_S:g}", "WASUP_LEASE_RENEW_INTERVAL_S": "1"},
    has_own_database=True,
)


async def test_the_other_daemon_takes_every_company_over(
    site: Site, api: Api, loopback: RemoteLoopback, database: EmbeddedPostgres
) -> None:
    """When the leases have expired all are connected there, without pairing, and no company was on WhatsApp twice at any time."""
    await api.wait_connected(*NAMES)
    other = Daemon(site.directory / "other", site.daemon.environment, site.directory / "other.log")
    most: Counter[str] = Counter()
    other.start()
    try:
        await other.wait_ready()
        (other.state_dir / "admin.key").write_text(site.daemon.key)  # the database had one already
        async with open_api(other) as its, trio.open_nursery() as nursery:
            before = await witness(its, loopback)
            nursery.start_soon(_watch_sockets, site, most)
            await eventually("the other daemon to know whose they are", lambda: _all_in(its, "elsewhere"), within=60.0)
            assert (await before.more("logins")) == 0

            site.daemon.signal(signal.SIGKILL)
            began = trio.current_time()
            await its.wait_connected(*NAMES, within=120.0)
            took_s = trio.current_time() - began
            await trio.sleep(TTL_S)  # a second log-in of any company would show here
            await before.assert_no_pairing()
            assert await before.more("logins") == len(USERS)
            nursery.cancel_scope.cancel()
        assert most == dict.fromkeys((user.phone for user in USERS), 1)
        assert len(await _owners(database)) == 1
    finally:
        other.end()
    print(
        f"L2: {len(USERS)} companies on the other daemon {took_s:.1f} s after the kill (TTL {TTL_S:g} s), one socket a company; "
        f"load {os.getloadavg()[0]:.1f}"
    )


async def _all_in(api: Api, state: str) -> bool:
    states = await api.states()
    return {states.get(name) for name in NAMES} == {state}


async def _watch_sockets(site: Site, most: Counter[str]) -> None:
    """The greatest number of sockets seen of each number."""
    async with connect_loopback(site.endpoints) as loopback:
        while True:
            for phone, sockets in Counter(
                {device.phone: device.sockets for device in await loopback.devices()}
            ).items():
                most[phone] = max(most[phone], sockets)
            await trio.sleep(0.02)


async def _owners(database: EmbeddedPostgres) -> set[str]:
    async with open_database(database.dsn, size=1) as reader:
        return {row["owner"] for row in await reader.fetch("SELECT owner FROM whatsapp_leases")}
