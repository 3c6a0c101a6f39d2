"""SIGTERM under load (D1), and a daemon that runs out of file descriptors (D3)."""

from __future__ import annotations

import resource
import signal
import socket
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import trio
from trio_websocket import ConnectionClosed, wrap_client_stream

from tests.acceptance.peer import Peer
from tests.acceptance.traffic import flowing
from tests.acceptance.witness import witness
from tests.loopback.remote import RemoteLoopback
from tests.support.api import EVENTS, SESSIONS, Api
from tests.support.eventually import eventually
from tests.support.processes import alive
from tests.support.site import Plan, Site, User

A, B, LISTENER, TALKER = (User(number) for number in range(1, 5))
COMPANIES = (A, B)
NAMES = tuple(user.company for user in COMPANIES)
PLAN = Plan(companies=COMPANIES, others=(LISTENER, TALKER), settings={"RATE_LIMIT_MAX_REQUESTS": "100000"})
READERS = 40
DEAD_READERS = 10
ASKERS = 8
STOP_WITHIN_S = 30.0
RESTARTING = 1012
SPARE_DESCRIPTORS = 3


async def test_a_stop_under_load_loses_nothing(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer
) -> None:
    """With sends, questions, live readers and readers that stopped reading: exit status 0 in time, every reader told to come back
    (1012), every acknowledged send at its recipient, no process left, and after the next start everything goes on."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    closed: Counter[int] = Counter()
    asked: Counter[int] = Counter()
    family, enough = site.daemon.family(), trio.Event()
    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
        for _ in range(READERS):
            await nursery.start(_read, site, closed)
        for _ in range(DEAD_READERS):
            await stack.enter_async_context(await _dead_reader(site))
        for _ in range(ASKERS):
            nursery.start_soon(_ask, api, asked, enough)
        async with flowing(api, listener, talker, COMPANIES) as traffic:
            await traffic.wait_acknowledged(50, within=60.0)
            began = trio.current_time()
            site.daemon.signal(signal.SIGTERM)
            status = await site.daemon.wait_ended(within=STOP_WITHIN_S)
            took_s = trio.current_time() - began
            await site.daemon.restart()
            await api.wait_connected(*NAMES, within=60.0)
            await traffic.wait_acknowledged(20, within=60.0)
        enough.set()
    await traffic.wait_delivered(since=before.seq, within=60.0)

    assert status == 0
    assert closed == {RESTARTING: READERS}
    assert alive(family) == frozenset()
    await before.assert_no_pairing()
    await before.assert_conversations_go_on(listener, *COMPANIES)
    print(
        f"D1: exit 0 after {took_s:.2f} s; {len(traffic.account.acknowledged)} sends acknowledged, all arrived; {dict(asked)}"
    )


async def _read(site: Site, closed: Counter[int], *, task_status: trio.TaskStatus[None]) -> None:
    """Follow the events until the stream is closed, and count with which code."""
    address, key = urlsplit(site.daemon.url), [(b"x-api-key", site.daemon.key.encode())]
    # A stream of our own: the library's now and then stays open when the server has closed it first.
    async with (
        await trio.open_tcp_stream(address.hostname or "", address.port or 0) as stream,
        trio.open_nursery() as nursery,
    ):
        websocket = await wrap_client_stream(nursery, stream, address.netloc, EVENTS, extra_headers=key)
        task_status.started()
        try:
            while True:
                await websocket.get_message()
        except ConnectionClosed as ended:
            closed[ended.reason.code if ended.reason else 0] += 1
        nursery.cancel_scope.cancel()


async def _dead_reader(site: Site) -> trio.SocketStream:
    """A subscriber with a small buffer that reads the answer to its handshake and nothing after that."""
    address = urlsplit(site.daemon.url)
    client = trio.socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await client.connect((address.hostname, address.port))
    stream = trio.SocketStream(client)
    head = (
        f"GET {EVENTS}?after=0 HTTP/1.1\r\nhost: here\r\nx-api-key: {site.daemon.key}\r\nupgrade: websocket\r\n"
        "connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await stream.send_all(head.encode())
    assert (await stream.receive_some(12)).startswith(b"HTTP/1.1 101")
    return stream


async def _ask(api: Api, asked: Counter[int], enough: trio.Event) -> None:
    """Ask for the sessions, again and again, whatever the answer."""
    while not enough.is_set():
        asked[(await api.try_get(SESSIONS)).status_code] += 1


async def test_descriptors_run_out(site: Site, api: Api, loopback: RemoteLoopback) -> None:
    """No connection can be accepted for a while: no company leaves WhatsApp, and HTTP is back at once when there are some again."""
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
