"""Postgres is away for 20 s under traffic: nothing that was acknowledged is lost, and everything goes on by itself (P3)."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio

from storage.database.pool import open_database
from storage.embedded.process import serving
from storage.embedded.server import EmbeddedPostgres
from tests.acceptance.peer import Peer
from tests.acceptance.traffic import flowing
from tests.acceptance.witness import Witness, witness
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.bars import patience
from tests.support.site import Plan, Site, User

A, B, LISTENER, TALKER = (User(number) for number in range(1, 5))
COMPANIES = (A, B)
NAMES = tuple(user.company for user in COMPANIES)
PLAN = Plan(
    companies=COMPANIES,
    others=(LISTENER, TALKER),
    settings={"RATE_LIMIT_MAX_REQUESTS": "100000"},
    has_own_database=True,
)
OUTAGE_S = 20.0
ON_ITS_WAY_S = 0.5
"""A reply to a commit just before may arrive this much later."""
RESUMED_WITHIN_S = patience(20.0)


@asynccontextmanager
async def hung(database: EmbeddedPostgres) -> AsyncGenerator[None]:
    """In this block none of its processes runs, and every connection stays open."""
    pids = serving(database.data)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def down(database: EmbeddedPostgres) -> AsyncGenerator[None]:
    """It is stopped in this block: every connection ends, and no new one is accepted."""
    await database.stop()
    try:
        yield
    finally:
        await database.start()


@pytest.mark.parametrize("away", [hung, down], ids=["hung", "down"])
async def test_an_outage_loses_nothing(
    site: Site,
    api: Api,
    loopback: RemoteLoopback,
    listener: Peer,
    talker: Peer,
    database: EmbeddedPostgres,
    away: Callable[[EmbeddedPostgres], AbstractAsyncContextManager[None]],
) -> None:
    """While Postgres is away every send is refused with 503 and Retry-After, none acknowledged; no company leaves WhatsApp; what was
    acknowledged is with its recipient and in Postgres, and what came in meanwhile becomes events."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        await traffic.wait_acknowledged(20)
        async with away(database):
            began = trio.current_time()
            await trio.sleep(OUTAGE_S)  # the test needs this long
            ended = trio.current_time()
        await traffic.wait_acknowledged(20, within=RESUMED_WITHIN_S)
    await traffic.wait_delivered(since=before.seq)

    answers = traffic.account.answers
    meanwhile = [answer for answer in answers if began + ON_ITS_WAY_S < answer.began + answer.seconds < ended]
    assert meanwhile
    assert {(answer.status, answer.code) for answer in meanwhile} == {(503, "storage_unavailable")}
    assert set(traffic.account.codes()) == {"ok", "storage_unavailable"}
    assert all(answer.retry_after for answer in answers if answer.status == 503)
    await _assert_nobody_left(before)
    await _lose_everything_but_postgres(site, api)
    await before.assert_conversations_go_on(listener, *COMPANIES)


@pytest.mark.parametrize("seconds", [8.0, pytest.param(600.0, marks=pytest.mark.chaos)], ids=["short", "ten-minutes"])
async def test_p2_backends_terminated_every_second_lose_nothing(
    site: Site,
    api: Api,
    loopback: RemoteLoopback,
    listener: Peer,
    talker: Peer,
    database: EmbeddedPostgres,
    seconds: float,
) -> None:
    """P2: every connection to Postgres is ended once a second: a send is acknowledged or refused with 503 and Retry-After, nothing
    acknowledged or received is lost, no company leaves WhatsApp."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    terminated = 0
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        await traffic.wait_acknowledged(20)
        until = trio.current_time() + seconds
        while trio.current_time() < until:
            terminated += await _terminate_backends(database)
            await trio.sleep(1.0)  # the test is about one a second
        await traffic.wait_acknowledged(20, within=RESUMED_WITHIN_S)
    await traffic.wait_delivered(since=before.seq, within=60.0)

    codes = traffic.account.codes()
    assert terminated > seconds
    assert set(codes) <= {"ok", "storage_unavailable"}
    assert all(answer.retry_after for answer in traffic.account.answers if answer.status != 200)
    await _assert_nobody_left(before)
    print(f"P2: {terminated} backends terminated in {seconds:g} s; {dict(codes)}, every acknowledged send arrived")


async def _terminate_backends(database: EmbeddedPostgres) -> int:
    async with open_database(database.dsn, size=1) as administrator:
        found: int = await administrator.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename IS NOT NULL"
        )
    return found


async def _assert_nobody_left(before: Witness) -> None:
    assert await before.more("logins") == 0
    assert await before.more("retry_receipts") == 0
    assert [await before.statuses(user) for user in COMPANIES] == [[], []]


async def _lose_everything_but_postgres(site: Site, api: Api) -> None:
    """Kill the daemon and delete the device files."""
    for user in COMPANIES:  # acknowledged, so everything its device file holds is committed
        await api.send(user.company, LISTENER.phone, "the last before the fire")
    site.daemon.signal(signal.SIGKILL)
    await site.daemon.wait_ended(within=5.0)
    for file in (site.daemon.state_dir / "devices").iterdir():
        file.unlink()
    await site.daemon.restart()
    await api.wait_connected(*NAMES)
