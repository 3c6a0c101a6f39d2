"""SIGTERM under load (D1), and a daemon that runs out of file descriptors (D3)."""

from __future__ import annotations

import resource
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import trio

from tests.acceptance.drain import Load, stop_under
from tests.acceptance.peer import Peer
from tests.acceptance.witness import witness
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.site import Plan, Site, User

A, B, LISTENER, TALKER = (User(number) for number in range(1, 5))
COMPANIES = (A, B)
NAMES = tuple(user.company for user in COMPANIES)
PLAN = Plan(companies=COMPANIES, others=(LISTENER, TALKER), settings={"RATE_LIMIT_MAX_REQUESTS": "100000"})
LOAD = Load(companies=COMPANIES, senders=COMPANIES, readers=40, dead_readers=10, askers=8)
SPARE_DESCRIPTORS = 3


async def test_d1_a_stop_under_load_loses_nothing(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer
) -> None:
    """With sends, queries, live readers and readers that stopped reading: exit status 0 in time, every reader asked to come back
    (1012), every acknowledged send at its recipient, no process left, and after the next start everything goes on."""
    print(await stop_under(LOAD, site, api, loopback, listener, talker))


async def test_d3_descriptors_run_out(site: Site, api: Api, loopback: RemoteLoopback) -> None:
    """No connection can be accepted for a while: no company leaves WhatsApp, and HTTP is back as soon as descriptors are free."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    pid = site.daemon.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = _descriptors(pid)
    address = urlsplit(site.daemon.url)
    async with AsyncExitStack() as stack:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + SPARE_DESCRIPTORS, limits[1]))
        for _ in range(4 * SPARE_DESCRIPTORS):
            await stack.enter_async_context(await trio.open_tcp_stream(address.hostname or "", address.port or 0))
        with trio.move_on_after(1.0):
            assert (await api.try_get("/livez")).status_code != 200
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    began = trio.current_time()
    await eventually("HTTP to answer", lambda: _answers(site), within=30.0)

    took_s = trio.current_time() - began
    await api.wait_connected(*NAMES)
    assert await before.more("logins") == 0
    print(f"D3: HTTP answers {took_s:.2f} s after there are descriptors again")


async def _answers(site: Site) -> bool:
    async with httpx.AsyncClient(timeout=5.0) as client:
        try:
            return (await client.get(f"{site.daemon.url}/livez")).status_code == 200
        except httpx.TransportError:
            return False


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
