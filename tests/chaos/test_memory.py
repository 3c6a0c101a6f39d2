"""D4: no more memory to be had, for an engine process and for the daemon."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
import trio

from tests.acceptance.peer import Peer
from tests.acceptance.traffic import flowing
from tests.acceptance.witness import witness
from tests.chaos.checker import Checker
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.processes import alive
from tests.support.site import Plan, Site, User

pytestmark = pytest.mark.chaos

A, B, LISTENER, TALKER = (User(number) for number in range(1, 5))
COMPANIES = (A, B)
NAMES = tuple(user.company for user in COMPANIES)
PLAN = Plan(
    companies=COMPANIES,
    others=(LISTENER, TALKER),
    settings={"WASUP_SESSIONS_PER_ENGINE": "1", "RATE_LIMIT_MAX_REQUESTS": "100000", "HEALTH_CHECK_INTERVAL": "2000"},
)
BACK_WITHIN_S = 120.0
STARVED_S = 20.0


async def test_an_engine_without_memory_ends_and_is_replaced(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer
) -> None:
    """Not one page more: it dies, a fresh process takes over, no acknowledged send is lost."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    checker = Checker(site, api, loopback, COMPANIES, before)
    old = site.daemon.engines()
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        await traffic.wait_acknowledged(20)
        for pid in old:
            _limit(pid)
        for _ in range(12):  # connections take threads and buffers: what is needed is asked for soon
            await loopback.fault("drop")
            await trio.sleep(0.5)
        ended = old - alive(old)
        for pid in alive(old):
            resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await api.wait_connected(*NAMES, within=BACK_WITHIN_S)
        await traffic.wait_acknowledged(20, within=BACK_WITHIN_S)
    await checker.every_acknowledged_send_arrived_once(traffic, listener)
    await checker.everyone_is_back()
    await checker.nobody_was_asked_to_pair()
    assert ended
    print(
        f"D4: {len(ended)} of {len(old)} engine processes died of it; {len(traffic.account.acknowledged)} sends acknowledged, all arrived "
        f"once; {dict(traffic.account.codes())}"
    )


async def test_a_daemon_without_memory_loses_nothing(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer
) -> None:
    """It ends, or refuses what it cannot do; once there is memory again (or it was started again), everything goes on."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    checker = Checker(site, api, loopback, COMPANIES, before)
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        await traffic.wait_acknowledged(20)
        _limit(site.daemon.pid)
        await _ask_much(api)
        ended = not site.daemon.is_running
        if ended:
            await site.daemon.restart()
        else:
            resource.prlimit(site.daemon.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await eventually("HTTP to be served", lambda: _serves(api), within=BACK_WITHIN_S)
        await api.wait_connected(*NAMES, within=BACK_WITHIN_S)
        await traffic.wait_acknowledged(20, within=BACK_WITHIN_S)
    await checker.every_acknowledged_send_arrived_once(traffic, listener)
    await checker.everyone_is_back()
    await checker.nobody_was_asked_to_pair()
    print(
        f"D4: daemon {'ended and was started again' if ended else 'went on'}; {len(traffic.account.acknowledged)} sends acknowledged, "
        f"all arrived once; {dict(traffic.account.codes())}"
    )


async def _ask_much(api: Api) -> None:
    """Long answers to many at once, while there is no memory for them."""

    async def ask() -> None:
        while True:
            await api.try_get("/api/whatsapp/events?limit=1000")

    with trio.move_on_after(STARVED_S):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)


async def _serves(api: Api) -> bool:
    return (await api.try_get("/readyz")).status_code == 200


def _limit(pid: int) -> None:
    """From now on it gets no more address space than it has."""
    has = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.prlimit(pid, resource.RLIMIT_AS, (has, resource.RLIM_INFINITY))
