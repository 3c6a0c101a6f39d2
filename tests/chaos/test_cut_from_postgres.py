"""L3: a daemon is cut off from Postgres while its connection to WhatsApp is open, and another daemon waits for its companies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

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
from tests.support.toxic import ToxicProxy, toxic_proxy

pytestmark = pytest.mark.chaos

USERS = tuple(User(number) for number in range(1, 6))
NAMES = tuple(user.company for user in USERS)
TTL_S = 12.0
TAKEN_OVER_WITHIN_S = 90.0
PLAN = Plan(
    companies=USERS,
    settings={
        "WASUP_LEASE_TTL_S": f"{TTL_S:g}",
        "WASUP_LEASE_RENEW_INTERVAL_S": "1",
        "WASUP_COMPANY_CONFLICT_MIN_S": "0.5",
        "WASUP_COMPANY_CONFLICT_MAX_S": "1",
    },
    has_own_database=True,
)


@dataclass(slots=True)
class Watch:
    """When the sockets of each number opened and closed."""

    most: int = 0
    gone_at: dict[str, float] = field(default_factory=dict[str, float])
    back_at: dict[str, float] = field(default_factory=dict[str, float])

    async def run(self, site: Site) -> None:
        """Look fifty times a second, until cancelled."""
        async with connect_loopback(site.endpoints) as loopback:
            while True:
                for device in await loopback.devices():
                    self.note(device.phone, device.sockets)
                await trio.sleep(0.02)

    def note(self, phone: str, sockets: int) -> None:
        self.most = max(self.most, sockets)
        if sockets == 0:
            self.gone_at.setdefault(phone, trio.current_time())
        elif phone in self.gone_at:
            self.back_at.setdefault(phone, trio.current_time())


@contextmanager
def second_daemon(site: Site, database: EmbeddedPostgres) -> Iterator[Daemon]:
    """On the same database, connected directly."""
    other = Daemon(site.directory / "other", site.daemon.environment, site.directory / "other.log")
    other.environment["DATABASE_URL"] = database.dsn
    try:
        yield other
    finally:
        other.end()


async def through(site: Site, proxy: ToxicProxy) -> None:
    """The site's daemon, restarted with the proxy between it and Postgres."""
    await site.daemon.stop()
    site.daemon.environment["DATABASE_URL"] = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"
    await site.daemon.restart()


async def expiries(database: EmbeddedPostgres) -> dict[str, float]:
    """When each company's lease ends, on trio's clock."""
    async with open_database(database.dsn, size=1) as reader:
        now = trio.current_time()
        rows = await reader.fetch(
            "SELECT company_id, extract(epoch FROM expires_at - clock_timestamp())::float8 AS left_s FROM whatsapp_leases"
        )
    return {row["company_id"]: now + row["left_s"] for row in rows}


async def test_it_leaves_whatsapp_before_its_leases_end(
    site: Site, api: Api, loopback: RemoteLoopback, database: EmbeddedPostgres
) -> None:
    """Every socket is closed before another daemon may have the company; that one takes all of them over, without pairing, and never has a
    company two sockets. Back on the network, the first daemon takes nothing."""
    await api.wait_connected(*NAMES)
    directory = unquote(database.dsn.partition("host=")[2].partition("&")[0])
    watch = Watch()
    async with toxic_proxy(f"{directory}/.s.PGSQL.5432") as proxy:
        with second_daemon(site, database) as other:
            await through(site, proxy)
            await api.wait_connected(*NAMES, within=TAKEN_OVER_WITHIN_S)
            other.start()
            await other.wait_ready()
            (other.state_dir / "admin.key").write_text(site.daemon.key)  # the database had one already
            async with open_api(other) as its, trio.open_nursery() as nursery:
                before = await witness(its, loopback)
                nursery.start_soon(watch.run, site)
                proxy.toxics.is_black_hole = True
                cut_at, ends = trio.current_time(), await expiries(database)
                await its.wait_connected(*NAMES, within=TAKEN_OVER_WITHIN_S)
                proxy.toxics.heal()
                await eventually(
                    "the first daemon to know whose they are", lambda: _all_in(api, "elsewhere"), within=60.0
                )
                await before.assert_no_pairing()
                logins = await before.more("logins")
                nursery.cancel_scope.cancel()

    spare = [ends[user.company] - watch.gone_at[user.phone] for user in USERS]
    gaps = [watch.back_at[user.phone] - watch.gone_at[user.phone] for user in USERS]
    assert watch.most == 1
    assert logins == len(USERS)
    assert min(spare) > 0
    print(
        f"L3: TTL {TTL_S:g} s, cut off: sockets closed after {min(watch.gone_at.values()) - cut_at:.1f} to "
        f"{max(watch.gone_at.values()) - cut_at:.1f} s, {min(spare):.1f} s before the first lease's end at the latest; on the other daemon "
        f"{min(gaps):.1f} to {max(gaps):.1f} s later; overlap 0 s, never two sockets; load {os.getloadavg()[0]:.1f}"
    )


async def _all_in(api: Api, state: str) -> bool:
    states = await api.states()
    return {states.get(name) for name in NAMES} == {state}
