"""P3: Postgres hangs, or is stopped, for a minute under traffic."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import pytest
import trio

from config.load import load
from storage.database.pool import open_database
from storage.embedded.server import EmbeddedPostgres
from tests.acceptance.peer import Peer
from tests.acceptance.test_outage import down, hung
from tests.acceptance.traffic import Traffic, flowing
from tests.acceptance.witness import witness
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.processes import pss_bytes
from tests.support.site import Plan, Site, User

pytestmark = pytest.mark.chaos

COMPANIES = tuple(User(number) for number in range(1, 7))
NAMES = tuple(user.company for user in COMPANIES)
PLAN = Plan(
    companies=COMPANIES,
    others=(User(98), User(99)),
    settings={"RATE_LIMIT_MAX_REQUESTS": "100000", "WASUP_LEASE_TTL_S": "120"},
    has_own_database=True,
)
OUTAGE_S = 60.0
ON_ITS_WAY_S = 0.5
"""A reply to a commit just before may arrive this much later."""
BAR_S, BAR_MIB = 5.0, 50.0
BACK_WITHIN_S = 90.0


@dataclass(slots=True)
class Watch:
    """The maxima during the outage."""

    waiting: float = 0.0
    waiting_bytes: float = 0.0
    memory: int = 0
    figures: dict[str, float] = field(default_factory=dict[str, float])

    async def look(self, site: Site, api: Api) -> None:
        """Look once a second, until cancelled."""
        while True:
            self.memory = max(self.memory, memory_of(site))
            text = (await api.call("GET", "/metrics")).text
            lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("wasup_storage_waiting"))
            self.figures = {name: float(value) for name, _, value in lines}
            self.waiting = max(self.waiting, self.figures["wasup_storage_waiting"])
            self.waiting_bytes = max(self.waiting_bytes, self.figures["wasup_storage_waiting_bytes"])
            await trio.sleep(1.0)


def memory_of(site: Site) -> int:
    """Memory of the daemon and its engines."""
    return pss_bytes(frozenset({site.daemon.pid}) | site.daemon.engines())


async def positions(database: EmbeddedPostgres) -> dict[str, int]:
    """How far each company's journal is stored."""
    async with open_database(database.dsn, size=1) as reader:
        rows = await reader.fetch("SELECT company_id, position FROM whatsapp_journal")
    return {row["company_id"]: row["position"] for row in rows}


@pytest.mark.parametrize("away", [hung, down], ids=["hung", "down"])
async def test_a_minute_without_postgres(
    site: Site,
    api: Api,
    loopback: RemoteLoopback,
    listener: Peer,
    talker: Peer,
    database: EmbeddedPostgres,
    away: Callable[[EmbeddedPostgres], AbstractAsyncContextManager[None]],
) -> None:
    """Nothing is acknowledged meanwhile, queues stay within their limits, no company leaves WhatsApp, and nothing that was
    acknowledged or came in is lost. Memory and recovery are printed."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    watch = Watch()
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        await traffic.wait_acknowledged(60, within=60.0)
        at_first = memory_of(site)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.look, site, api)
            async with away(database):
                began = trio.current_time()
                await trio.sleep(OUTAGE_S)  # the test needs this long
                ended = trio.current_time()
            back_at = trio.current_time()
            resumed_s = max(0.0, await first_acknowledged(traffic, ended) - back_at)
            nursery.cancel_scope.cancel()
        await traffic.wait_acknowledged(60, within=BACK_WITHIN_S)
    await traffic.wait_delivered(since=before.seq, within=BACK_WITHIN_S)

    meanwhile = [each for each in traffic.account.answers if began + ON_ITS_WAY_S < each.began + each.seconds < ended]
    assert {(each.status, each.code) for each in meanwhile} == {(503, "storage_unavailable")}
    limits = load(environment={"WASUP_STATE_DIR": str(site.daemon.state_dir)}).storage
    assert watch.waiting <= limits.queue_deltas
    assert watch.waiting_bytes <= limits.queue_bytes
    assert await before.more("logins") == 0
    assert set((await positions(database)).values()) != {0}
    more = (watch.memory - at_first) / 2**20
    print(
        f"P3: {OUTAGE_S:g} s {away.__name__}: {len(meanwhile)} sends refused, 0 acknowledged; at most {watch.waiting:g} writes "
        f"({watch.waiting_bytes / 2**20:.2f} MiB) waited; memory {at_first / 2**20:.0f} MiB, at most {more:+.1f} (bar {BAR_MIB:g}); "
        f"first acknowledged {resumed_s:.2f} s after it was back (bar {BAR_S:g}); load {os.getloadavg()[0]:.1f}"
    )


async def first_acknowledged(traffic: Traffic, since: float) -> float:
    """The time of the first acknowledged send after that moment."""

    async def look() -> list[float]:
        return [
            answer.began + answer.seconds
            for answer in traffic.account.answers
            if answer.status == 200 and answer.began + answer.seconds > since
        ]

    return min(await eventually("a send to be acknowledged again", look, within=BACK_WITHIN_S))
