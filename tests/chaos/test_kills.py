"""The same process killed again and again: an engine process (N1), the daemon (D2)."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from statistics import median
from typing import Final

import pytest
import trio

from tests.acceptance.peer import Peer
from tests.acceptance.traffic import flowing
from tests.acceptance.witness import witness
from tests.chaos.checker import Checker, holdings
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.processes import command_line
from tests.support.site import Plan, Site, User

A, B, C, D, LISTENER, TALKER = (User(number) for number in range(1, 7))
COMPANIES = (A, B, C, D)
NAMES = tuple(user.company for user in COMPANIES)
PLAN = Plan(
    companies=COMPANIES,
    others=(LISTENER, TALKER),
    settings={"WASUP_SESSIONS_PER_ENGINE": "2", "RATE_LIMIT_MAX_REQUESTS": "100000", "HEALTH_CHECK_INTERVAL": "2000"},
)
ENGINE_KILLS = int(os.environ.get("CHAOS_KILLS", "100"))
DAEMON_KILLS = int(os.environ.get("CHAOS_KILLS", "25"))
KILL_EVERY_S = 3.5
"""The supervisor gives up an engine that dies more than 20 times a minute, as it should."""
BACK_WITHIN_S: Final = 60.0


@pytest.mark.chaos
async def test_an_engine_that_is_killed_again_and_again_hurts_its_own_companies_only(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer
) -> None:
    """N1: no acknowledged send is lost, companies of the other engine process are not affected, and it is back soon every time."""
    await api.wait_connected(*NAMES)
    before, held = await witness(api, loopback), holdings(site)
    checker = Checker(site, api, loopback, COMPANIES, before)
    engine = (await api.status(A.company))["engine"]
    hosted = [user for user in COMPANIES if (await api.status(user.company))["engine"] == engine]
    took: list[float] = []
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        for _ in range(ENGINE_KILLS):
            began = trio.current_time()
            logins = (await loopback.counters())["logins"]
            os.kill(_process_of(site, engine), signal.SIGKILL)
            await loopback.wait_until(_at_least(logins + len(hosted)), timeout=BACK_WITHIN_S)
            await api.wait_connected(*NAMES, within=BACK_WITHIN_S)
            took.append(trio.current_time() - began)
            await trio.sleep_until(began + KILL_EVERY_S)
        await traffic.wait_acknowledged(20, within=BACK_WITHIN_S)
    await checker.every_acknowledged_send_arrived_once(traffic, listener)
    await traffic.wait_delivered(since=before.seq, within=BACK_WITHIN_S)
    await checker.everyone_is_back()
    await checker.nobody_was_asked_to_pair()
    await checker.nothing_is_held(held)
    others = [user for user in COMPANIES if user not in hosted]
    assert [await before.statuses(user) for user in others] == [[] for _ in others]
    print(
        f"N1: {len(took)} kills, {len(traffic.account.acknowledged)} sends acknowledged, all arrived once; its companies back after "
        f"{median(took):.2f} s (median), {max(took):.2f} s at most; no event of the other engine's companies"
    )


def _at_least(logins: int) -> Callable[[dict[str, int]], bool]:
    return lambda counters: counters["logins"] >= logins


def _process_of(site: Site, engine: str) -> int:
    name = engine.rpartition("/")[2]
    (pid,) = [pid for pid in site.daemon.engines() if re.search(rf"/{name}-\d+\.sock", command_line(pid))]
    return pid


@pytest.mark.chaos
async def test_a_daemon_that_is_killed_again_and_again_loses_nothing(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer
) -> None:
    """D2: no acknowledged send is lost, HTTP is served again after each start, no company logs out or pairs."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    checker = Checker(site, api, loopback, COMPANIES, before)
    served: list[float] = []
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        for _ in range(DAEMON_KILLS):
            await traffic.wait_acknowledged(5, within=BACK_WITHIN_S)
            site.daemon.signal(signal.SIGKILL)
            await site.daemon.wait_ended(within=10.0)
            began = trio.current_time()
            await site.daemon.restart()
            served.append(trio.current_time() - began)
        await api.wait_connected(*NAMES, within=BACK_WITHIN_S)
        await traffic.wait_acknowledged(20, within=BACK_WITHIN_S)
    await checker.every_acknowledged_send_arrived_once(traffic, listener)
    await traffic.wait_delivered(since=before.seq, within=BACK_WITHIN_S)
    await checker.everyone_is_back()
    await checker.nobody_was_asked_to_pair()
    await checker.one_socket_a_company()
    await checker.postgres_has_everything(listener)
    print(
        f"D2: {len(served)} kills, {len(traffic.account.acknowledged)} sends acknowledged, all arrived once, "
        f"{len(traffic.account.sent_back)} messages told once; "
        f"HTTP served after {median(served):.2f} s (median), {max(served):.2f} s at most; load {os.getloadavg()[0]:.1f}"
    )
