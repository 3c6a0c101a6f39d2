"""SIGTERM to a busy daemon, and what must hold afterwards."""

from __future__ import annotations

import signal
import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import trio
from trio_websocket import ConnectionClosed, wrap_client_stream

from tests.acceptance.peer import Peer
from tests.acceptance.traffic import flowing
from tests.acceptance.witness import witness
from tests.loopback.remote import RemoteLoopback
from tests.support.api import EVENTS, SESSIONS, Api
from tests.support.processes import alive
from tests.support.site import Site, User

STOP_WITHIN_S = 30.0
RESTARTING = 1012


@dataclass(frozen=True, slots=True)
class Load:
    """The load at the moment of the signal."""

    companies: Sequence[User]
    """All of them are connected."""
    senders: Sequence[User]
    """Those of them that send, and get messages."""
    readers: int
    dead_readers: int
    askers: int


async def stop_under(load: Load, site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer) -> str:
    """Apply the load, stop the daemon, start it again, and prove that nothing is lost; return a line of figures."""
    names = [user.company for user in load.companies]
    await api.wait_connected(*names, within=120.0)
    before = await witness(api, loopback)
    closed: Counter[int] = Counter()
    asked: Counter[int] = Counter()
    family, enough = site.daemon.family(), trio.Event()
    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
        for _ in range(load.readers):
            await nursery.start(_read, site, closed)
        for _ in range(load.dead_readers):
            await stack.enter_async_context(await _dead_reader(site))
        for _ in range(load.askers):
            nursery.start_soon(_ask, api, asked, enough)
        async with flowing(api, listener, talker, load.senders) as traffic:
            loaded = trio.current_time()
            await traffic.wait_acknowledged(50, within=150.0)
            began = trio.current_time()
            rate = (asked[200] + len(traffic.account.answers)) / (began - loaded)
            site.daemon.signal(signal.SIGTERM)
            status = await site.daemon.wait_ended(within=STOP_WITHIN_S)
            took_s = trio.current_time() - began
            await site.daemon.restart()
            await api.wait_connected(*names, within=120.0)
            await traffic.wait_acknowledged(20, within=150.0)
        enough.set()
    await traffic.wait_delivered(since=before.seq, within=150.0)

    assert status == 0
    assert closed == {RESTARTING: load.readers}
    assert alive(family) == frozenset()
    await before.assert_no_pairing()
    await before.assert_conversations_go_on(listener, *load.senders)
    return (
        f"D1: {len(names)} companies, {rate:.0f} requests a second, {load.readers} readers, {load.dead_readers} dead ones: exit 0 after "
        f"{took_s:.2f} s (bar {STOP_WITHIN_S:g}); {len(traffic.account.acknowledged)} sends acknowledged, all arrived; {dict(asked)}"
    )


async def _read(site: Site, closed: Counter[int], *, task_status: trio.TaskStatus[None]) -> None:
    """Follow the events until the stream is closed, and count the close codes."""
    address, key = urlsplit(site.daemon.url), [(b"x-api-key", site.daemon.key.encode())]
    # A stream of our own: the library's sometimes stays open when the server has closed it first.
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
    """Ask for the sessions, again and again, whatever the response."""
    while not enough.is_set():
        asked[(await api.try_get(SESSIONS)).status_code] += 1
