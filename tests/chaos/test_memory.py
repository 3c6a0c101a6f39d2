"""D4: memory runs out, for an engine process and for the daemon."""

from __future__ import annotations

import os
import resource
from collections import Counter
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
MIB = 1 << 20
NAMES = tuple(user.company for user in COMPANIES)
PLAN = Plan(
    companies=COMPANIES,
    others=(LISTENER, TALKER),
    settings={
        "WASUP_SESSIONS_PER_ENGINE": "1",
        "RATE_LIMIT_MAX_REQUESTS": "100000",
        "HEALTH_CHECK_INTERVAL": "2000",
        "WASUP_HTTP_MAX_BODY_BYTES": str(16 * MIB),
    },
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
        for _ in range(12):  # connections take threads and buffers, so that memory is soon asked for
            for user in COMPANIES:
                await loopback.fault("drop", phone=user.phone)
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
        hurt = await _ask_much(api)
        if site.daemon.is_running:
            resource.prlimit(site.daemon.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        ended = await eventually(
            "the daemon to serve HTTP, or to end", lambda: _serves_or_ended(site, api), within=BACK_WITHIN_S
        )
        if ended == "ended":
            print("D4:", [line for line in site.daemon.lines() if line["event"] == "failing"])
            await site.daemon.restart()
        await api.wait_connected(*NAMES, within=BACK_WITHIN_S)
        await traffic.wait_acknowledged(20, within=BACK_WITHIN_S)
    await checker.every_acknowledged_send_arrived_once(traffic, listener)
    await checker.everyone_is_back()
    await checker.nobody_was_asked_to_pair()
    assert ended == "ended" or hurt
    print(
        f"D4: the daemon {ended}{' and was started again' if ended == 'ended' else ''}; "
        f"requests it had no memory for, by status: {dict(hurt)}; {len(traffic.account.acknowledged)} sends acknowledged, all arrived; "
        f"{dict(traffic.account.codes())}"
    )


async def _ask_much(api: Api) -> Counter[int]:
    """Send many requests at once without memory for them; count each status other than success (0: the connection broke)."""
    hurt: Counter[int] = Counter()

    async def ask(until: float) -> None:
        while trio.current_time() < until:
            answer = await api.try_send(A.company, LISTENER.phone, "x" * (12 * MIB))
            if answer.status_code not in (200, 422):
                hurt[answer.status_code] += 1

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask, trio.current_time() + STARVED_S)
    return hurt


async def _serves_or_ended(site: Site, api: Api) -> str | None:
    if not site.daemon.is_running:
        return "ended"
    return "serves" if (await api.try_get("/readyz")).status_code == 200 else None


def _limit(pid: int) -> None:
    """Limit the process to the address space that it has now."""
    has = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.prlimit(pid, resource.RLIMIT_AS, (has, resource.RLIM_INFINITY))
