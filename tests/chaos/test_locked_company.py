"""P6: a transaction locks one company's rows; how long the others' sends take meanwhile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from statistics import quantiles

import pytest
import trio

from storage.database.connection import Connection
from storage.database.pool import open_database
from storage.embedded.server import EmbeddedPostgres
from tests.acceptance.peer import Peer
from tests.acceptance.traffic import Traffic, flowing
from tests.acceptance.witness import witness
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.held_write import HeldWrite
from tests.support.site import Plan, Site, User

pytestmark = pytest.mark.chaos

COMPANIES = tuple(User(number) for number in range(1, 7))
LOCKED, *OTHERS = COMPANIES
NAMES = tuple(user.company for user in COMPANIES)
PLAN = Plan(
    companies=COMPANIES,
    others=(User(98), User(99)),
    settings={"RATE_LIMIT_MAX_REQUESTS": "100000"},
    has_own_database=True,
)
LOCK_S = 30.0
BAR = 2.0


async def lock_its_rows(connection: Connection) -> None:
    """Everything that a commit of this company touches, as in an operator's session, which no idle timeout ends."""
    await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    await connection.execute("SELECT FROM whatsapp_keys WHERE company_id = $1 FOR UPDATE", LOCKED.company)
    await connection.execute("SELECT FROM whatsapp_auth WHERE company_id = $1 FOR UPDATE", LOCKED.company)
    await connection.execute("SELECT FROM whatsapp_journal WHERE company_id = $1 FOR UPDATE", LOCKED.company)


async def test_a_lock_on_one_company_costs_the_others_nothing(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer, database: EmbeddedPostgres
) -> None:
    """Three times half a minute: free, locked, free. The others' sends all succeed; the locked company's go on afterwards, nothing is
    lost, no company leaves WhatsApp. The 99th percentiles are printed."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        await traffic.wait_acknowledged(60, within=60.0)
        edges = [trio.current_time()]
        await trio.sleep(LOCK_S)
        edges.append(trio.current_time())
        await hold_lock(database)
        edges.append(trio.current_time())
        await trio.sleep(LOCK_S)
        edges.append(trio.current_time())
        await traffic.wait_acknowledged(5, company=LOCKED, within=60.0)
    await traffic.wait_delivered(since=before.seq, within=60.0)

    assert set(traffic.account.codes(*OTHERS)) == {"ok"}
    assert set(traffic.account.codes(LOCKED)) == {"ok", "storage_unavailable"}
    assert await before.more("logins") == 0
    report(traffic, edges)


async def hold_lock(database: EmbeddedPostgres) -> None:
    """For half a minute, in an operator's transaction that has its own time-outs off."""
    held: HeldWrite[None] = HeldWrite(lock_its_rows)
    async with open_database(database.dsn, size=1) as operator, trio.open_nursery() as nursery:
        nursery.start_soon(operator.write_slowly, LOCK_S * 4, held)
        await held.entered.wait()
        await trio.sleep(LOCK_S)  # the test needs this long
        held.release()


def report(traffic: Traffic, edges: Sequence[float]) -> None:
    """Print what the others' sends took before, during and after."""
    phases = [
        [answer.seconds for answer in traffic.account.of(*OTHERS) if begin <= answer.began < end]
        for begin, end in pairwise(edges)
    ]
    free, locked = quantiles(phases[0] + phases[2], n=100)[98], quantiles(phases[1], n=100)[98]
    for name, phase in zip(("before", "locked", "after"), phases, strict=True):
        cuts = quantiles(phase, n=100)
        print(
            f"P6: {name:6} {len(phase):5} sends of the {len(OTHERS)} others, p50 {cuts[49] * 1e3:.0f} ms, p99 {cuts[98] * 1e3:.0f} ms"
        )
    print(f"P6: p99 while locked is {locked / free:.2f} of that without (bar {BAR:g}); load {os.getloadavg()[0]:.1f}")
