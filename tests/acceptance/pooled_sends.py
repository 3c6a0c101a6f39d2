"""Many sends of companies whose daemon reaches Postgres through a pooler, and which of them arrive after kills."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import httpx
import trio

from storage.database.pool import open_database
from storage.embedded.server import EmbeddedPostgres
from tests.acceptance.peer import Peer
from tests.support.api import Api, open_api
from tests.support.eventually import eventually
from tests.support.pgbouncer import PgBouncer
from tests.support.site import Site, User

IN_LINE = 2
"""Sends of one company at a time."""


@dataclass(slots=True)
class Sends:
    """The responses, and how long they took."""

    answers: list[httpx.Response] = field(default_factory=list[httpx.Response])
    seconds: list[float] = field(default_factory=list[float])

    @property
    def statuses(self) -> Counter[int]:
        """How often each status came."""
        return Counter(answer.status_code for answer in self.answers)

    @property
    def acknowledged(self) -> frozenset[str]:
        """Ids of the messages whose sends got 200."""
        return frozenset(answer.json()["messageId"] for answer in self.answers if answer.status_code == 200)


async def send_from_all(api: Api, companies: Sequence[User], to: Peer, each: int) -> Sends:
    """Every company sends ``each`` texts, all companies at once."""
    sends = Sends()

    async def send(company: User, numbers: range) -> None:
        for number in numbers:
            began = trio.current_time()
            sends.answers.append(await api.try_send(company.company, to.user.phone, f"{company.company} {number}"))
            sends.seconds.append(trio.current_time() - began)

    async with trio.open_nursery() as nursery:
        for company in companies:
            for first in range(IN_LINE):
                nursery.start_soon(send, company, range(first, each, IN_LINE))
    return sends


async def _is_writable(api: Api, company: User, to: Peer) -> bool:
    return (await api.try_send(company.company, to.user.phone, "are you there")).status_code == 200


async def run(
    site: Site,
    api: Api,
    listener: Peer,
    database: EmbeddedPostgres,
    pooler: PgBouncer,
    companies: Sequence[User],
    each: int,
) -> None:
    """Send, kill the daemon, start it again, kill the pooler, start it again: every send gets 200, and arrives once."""
    names = [company.company for company in companies]
    began = trio.current_time()
    first = await send_from_all(api, companies, listener, each)
    took_s = trio.current_time() - began
    site.daemon.signal(signal.SIGKILL)
    await site.daemon.wait_ended(within=10.0)
    await site.daemon.restart()
    async with open_api(site.daemon) as again:
        await again.wait_connected(*names, within=60.0)
        second = await send_from_all(again, companies, listener, IN_LINE)
        pooler.kill()
        pooler.start()
        await again.wait_connected(*names, within=60.0)
        await eventually("writes to be taken again", partial(_is_writable, again, companies[0], listener), within=20.0)
        third = await send_from_all(again, companies, listener, IN_LINE)
        metrics = (await again.try_get("/metrics")).text
    await listener.wait_received(first.acknowledged | second.acknowledged | third.acknowledged, within=60.0)
    arrivals = listener.arrivals()

    print(
        f"{len(first.answers)} sends of {len(names)} companies through PgBouncer in {took_s:.1f} s, "
        f"{len(first.answers) / took_s:.0f} a second, "
        f"median {1000 * median(first.seconds):.0f} ms; answered {dict(first.statuses)}, after the daemon's kill {dict(second.statuses)}, "
        f"after the pooler's {dict(third.statuses)}; all {len(arrivals)} arrived, load {os.getloadavg()[0]:.1f}"
    )
    assert first.statuses == {200: each * len(names)}
    assert second.statuses == third.statuses == {200: IN_LINE * len(names)}
    assert set(arrivals.values()) == {1}
    assert "wasup_postgres_pooled 1.0" in metrics
    async with open_database(database.dsn, size=1) as direct:
        assert await direct.fetchval("SELECT count(*) FROM whatsapp_auth") == len(names)
