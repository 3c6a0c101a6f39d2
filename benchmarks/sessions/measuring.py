"""Measures one site: companies linked, idle, stopped, started again, in traffic, and under faults."""

from __future__ import annotations

from typing import Final

import trio

from benchmarks.footprint import PARTS, Footprint, footprint
from benchmarks.linking import link
from benchmarks.sessions.figures import Figures
from benchmarks.sessions.messages import exchange
from benchmarks.sessions.trouble import trouble
from tests.loopback.remote import RemoteLoopback, connect_loopback
from tests.support.api import Api, open_api
from tests.support.site import Site, User

STEPS: Final = (1, 10)
SETTLED_CPU: Final = 0.1
SETTLE_WITHIN_S: Final = 20.0
STOP_WITHIN_S: Final = 60.0


class NotIdleError(Exception):
    """Some company is not connected, or lost its connection during the measurement."""


async def measure(site: Site, companies: int, idle_s: float) -> Figures:
    """Make all measurements with that many companies, on a fresh site."""
    figures = Figures(companies=companies)
    site.daemon.start()
    await site.daemon.wait_ready()
    async with connect_loopback(site.endpoints) as loopback, open_api(site.daemon) as api:
        await _link_in_steps(site, api, loopback, figures)
        await _idle(site, api, loopback, figures, idle_s)
        await _restart(site, api, loopback, figures)
        await exchange(site.daemon, api, figures)
        await trouble(site, api, loopback, figures)
        figures.busy = await _settled(site)
        await _assert_connected(api, loopback, companies=companies, pairings=companies)
    return figures


async def _link_in_steps(site: Site, api: Api, loopback: RemoteLoopback, figures: Figures) -> None:
    companies = figures.companies
    linked = 0
    for step in sorted({*(step for step in STEPS if step < companies), companies}):
        users = [User(number) for number in range(linked + 1, step + 1)]
        figures.link_s += await link(site, api, users)
        linked = step
        figures.idle[linked] = await _settled(site)
        await _assert_connected(api, loopback, companies=linked, pairings=linked)


async def _idle(site: Site, api: Api, loopback: RemoteLoopback, figures: Figures, idle_s: float) -> None:
    companies = figures.companies
    logins = (await loopback.counters())["logins"]
    began, before = trio.current_time(), footprint(site.daemon)
    await trio.sleep(idle_s)
    after, seconds = footprint(site.daemon), trio.current_time() - began
    figures.idle_cpu = {part: (after.cpu_s[part] - before.cpu_s[part]) / seconds for part in PARTS}
    await _assert_connected(api, loopback, companies=companies, pairings=companies)
    if (now := (await loopback.counters())["logins"]) != logins:
        raise NotIdleError(f"{now - logins} log-ins while idle, expected none")


async def _restart(site: Site, api: Api, loopback: RemoteLoopback, figures: Figures) -> None:
    companies = figures.companies
    within = 60.0 + companies
    before = (await loopback.counters())["logins"]
    began = trio.current_time()
    await site.daemon.stop(within=STOP_WITHIN_S)
    figures.stop_s = trio.current_time() - began
    began = trio.current_time()
    site.daemon.start()
    await site.daemon.wait_ready()
    figures.listening_s = trio.current_time() - began
    # Ask the loopback, not the daemon: requests would take time of the daemon, which is being measured.
    await loopback.wait_until(lambda counters: counters["logins"] >= before + companies, timeout=within)
    await api.wait_connected(*(User(number).company for number in range(1, companies + 1)), within=within)
    figures.connected_s = trio.current_time() - began
    figures.restarted = await _settled(site)
    await _assert_connected(api, loopback, companies=companies, pairings=companies)


async def _settled(site: Site) -> Footprint:
    """Return the footprint after a second in which the daemon did little, at the latest after `SETTLE_WITHIN_S`."""
    with trio.move_on_after(SETTLE_WITHIN_S):
        before = footprint(site.daemon).total_cpu_s
        while True:
            await trio.sleep(1.0)
            now = footprint(site.daemon).total_cpu_s
            if now - before < SETTLED_CPU:
                break
            before = now
    return footprint(site.daemon)


async def _assert_connected(api: Api, loopback: RemoteLoopback, *, companies: int, pairings: int) -> None:
    connected = sum(state == "connected" for state in (await api.states()).values())
    listening = sum(device.listening for device in await loopback.devices())
    paired = (await loopback.counters())["pairings"]
    if (connected, listening, paired) != (companies, companies, pairings):
        raise NotIdleError(
            f"{connected} companies say they are connected, the loopback has {listening} of {companies} devices online "
            f"after {paired} pairings, expected {pairings}"
        )
