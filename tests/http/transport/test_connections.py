"""Connections that are slow, silent, too many or reset: limits hold, and other clients are not affected."""

from __future__ import annotations

import re
import socket
import time

import msgspec
import pytest
import trio

from actors import messages as m
from actors.http.transport.connection import Connection
from actors.http.transport.listening import BindError, listen
from config.sections import HttpSettings
from tests.http.raw import (
    connected,
    exchange,
    read_answer,
    read_to_end,
    request,
    reset,
    subscribed,
    websocket_handshake,
)
from tests.http.world import COMPANY_A, QUICK, Daemon, running, sample_world, until
from tests.support.bars import patience

SEND = f"/api/whatsapp/sessions/{COMPANY_A}/send"


async def send_slowly(
    stream: trio.SocketStream, data: bytes, every_s: float = 0.05, *, within_s: float = 10.0
) -> float:
    """Send a byte at a time until the server closes; return the time that took."""
    began = trio.current_time()
    with trio.fail_after(within_s):
        try:
            for byte in data:
                await stream.send_all(bytes([byte]))
                with trio.move_on_after(every_s):
                    if not await stream.receive_some(1000):
                        break
        except trio.BrokenResourceError:
            pass
    return trio.current_time() - began


async def test_a_header_that_trickles_in_is_cut_off() -> None:
    """After the read timeout, however steadily bytes come."""
    async with running(http=QUICK) as daemon, connected(daemon) as stream:
        took = await send_slowly(stream, request("GET", "/livez", "X-A: " + "a" * 1000))

    assert 0.4 < took < patience(10)


async def test_an_answer_goes_out_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Head and body are one write; a head whose body stays out (HEAD) is one too."""
    pieces: list[bytes] = []
    write = Connection._write

    async def note(self: Connection, data: bytes) -> None:
        pieces.append(bytes(data))
        await write(self, data)

    monkeypatch.setattr(Connection, "_write", note)
    async with running(http=QUICK) as daemon:
        answers = [await exchange(daemon, request(method, "/livez")) for method in ("GET", "HEAD")]

    assert pieces == answers
    assert [answer.startswith(b"HTTP/1.1 200 ") for answer in answers] == [True, True]


async def test_a_silent_connection_is_closed() -> None:
    """Nothing was sent at all."""
    async with running(http=QUICK) as daemon, connected(daemon) as stream:
        began = trio.current_time()
        assert await read_to_end(stream) == b""

    assert 0.4 < trio.current_time() - began < patience(10)


async def test_a_kept_connection_is_closed_when_idle() -> None:
    """After the keep-alive time; a second request before that is answered."""
    one = request("GET", "/livez").replace(b"Connection: close\r\n", b"")
    async with running(http=QUICK) as daemon, connected(daemon) as stream:
        for _ in range(3):
            await stream.send_all(one)
            assert b"200" in await read_answer(stream)
        began = trio.current_time()
        assert await read_to_end(stream) == b""

    assert 0.4 < trio.current_time() - began < patience(10)


async def test_the_second_header_may_not_trickle_either() -> None:
    """The keep-alive time ends with the first byte of the next request."""
    one = request("GET", "/livez").replace(b"Connection: close\r\n", b"")
    settings = msgspec.structs.replace(QUICK, keep_alive_timeout_s=60.0)
    async with running(http=settings) as daemon, connected(daemon) as stream:
        await stream.send_all(one)
        assert b"200" in await read_answer(stream)
        took = await send_slowly(stream, one + b"x" * 1000)

    assert 0.4 < took < patience(10)


async def test_a_body_that_trickles_in_is_408() -> None:
    """Declared or in chunks."""
    async with running(http=QUICK) as daemon:
        for head in (b"Content-Length: 1000", b"Transfer-Encoding: chunked"):
            async with connected(daemon) as stream:
                await stream.send_all(request("POST", SEND, head.decode()))
                answer = await read_to_end(stream)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b'"code":"request_timeout"' in answer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "every_s"),
    [
        (msgspec.structs.replace(QUICK, read_timeout_s=2.0), 0.5),
        pytest.param(HttpSettings(), 10.0, marks=pytest.mark.long),
    ],
    ids=["quick", "settings-as-they-come"],
)
async def test_e8_five_hundred_slow_clients_do_not_slow_a_good_one(settings: HttpSettings, every_s: float) -> None:
    """They send a byte now and then. All are closed in time; the good client's responses stay quick meanwhile."""
    took: list[float] = []
    async with running(http=settings) as daemon:
        ended: list[float] = []

        async def slow() -> None:
            async with connected(daemon) as stream:
                await stream.send_all(b"GET /")
                ended.append(await send_slowly(stream, b"x" * 1000, every_s, within_s=60.0))

        async with trio.open_nursery() as nursery:
            for _ in range(500):
                nursery.start_soon(slow)
            await until(lambda: b'outcome="accepted"} 50' in daemon.metrics.exposition())
            for _ in range(20):
                began = time.perf_counter()
                assert (await daemon.client.get("/livez")).status_code == 200
                took.append(time.perf_counter() - began)

    print(
        f"E8: 500 clients, a byte every {every_s:g} s: all closed, the last after {max(ended):.1f} s "
        f"(read_timeout_s={settings.read_timeout_s:g}, "
        "bar 15 s as it comes); a good client's"
    )
    print(
        f"    answers meanwhile: p50 {sorted(took)[10] * 1000:.1f} ms, worst but one {sorted(took)[-2] * 1000:.1f} ms (bar 200)"
    )
    assert len(ended) == 500
    assert len(took) == 20  # each of them got 200, while the 500 were there


async def test_e9_one_connection_too_many_is_told_so_at_once() -> None:
    """503 with Retry-After; the open ones go on, and a place is free when one is closed."""
    async with running(http=HttpSettings(max_connections=2)) as daemon:
        async with connected(daemon) as first, connected(daemon) as second:
            for stream in (first, second):
                await stream.send_all(request("GET", "/livez").replace(b"Connection: close\r\n", b""))
                assert b"200" in await read_answer(stream)
            began = trio.current_time()
            refused = await exchange(daemon)
            assert trio.current_time() - began < patience(1)
            await first.send_all(request("GET", "/livez"))
            assert b"200" in await read_to_end(first)
        await until(lambda: b"wasup_http_open_connections 0.0" in daemon.metrics.exposition())
        answer = await exchange(daemon, request("GET", "/livez"))

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"too_many_connections"' in refused
    assert b"Retry-After: 1\r\n" in refused
    assert b"200" in answer


async def test_half_a_connection_still_gets_its_answer(daemon: Daemon) -> None:
    """A client may close its sending side and wait."""
    async with connected(daemon) as stream:
        await stream.send_all(request("GET", "/livez"))
        await stream.send_eof()
        answer = await read_to_end(stream)

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_leaves_does_not_stop_its_send() -> None:
    """The message was ordered; it is sent and counted, and nothing of the connection is left."""
    world = sample_world()
    arrived, go_on = trio.Event(), trio.Event()

    async def wait(message: object) -> None:
        if isinstance(message, m.SendText):
            arrived.set()
            await go_on.wait()

    world.companies[COMPANY_A].on_ask = wait
    async with running(world) as daemon:
        async with connected(daemon) as stream:
            body = b'{"phone":"+79000000002","message":"x"}'
            await stream.send_all(request("POST", SEND, f"Content-Length: {len(body)}", body=body))
            await arrived.wait()
            reset(stream)
        go_on.set()
        await until(lambda: len(world.companies[COMPANY_A].sent) == 1)
        await until(lambda: b"wasup_http_open_connections 0.0" in daemon.metrics.exposition())
        assert not re.search(rb'outcome="crashed"} [1-9]', daemon.metrics.exposition())


@pytest.mark.slow
async def test_e3_reset_during_a_stream_leaves_the_loop_free() -> None:
    """A hundred subscribers are reset under many events; the loop goes on and nothing is left of them."""
    async with running() as daemon:
        streams: list[trio.SocketStream] = []
        for _ in range(8):
            for _ in range(8):
                client = trio.socket.socket()
                await client.connect(("127.0.0.1", daemon.port))
                stream = trio.SocketStream(client)
                await stream.send_all(websocket_handshake())
                assert b" 101 " in await stream.receive_some(65536)
                streams.append(stream)
            for _ in range(50):
                daemon.world.publish(COMPANY_A, "status", filler="x" * 2000)
            await trio.lowlevel.checkpoint()
            while streams:
                reset(streams.pop())
            for _ in range(50):
                daemon.world.publish(COMPANY_A, "status", filler="x" * 2000)
            await trio.lowlevel.checkpoint()
        await until(lambda: daemon.world.hub.subscriptions == 0)

        assert (await daemon.client.get("/livez")).status_code == 200


@pytest.mark.slow
async def test_a_reader_that_stops_reading_is_cut_off() -> None:
    """Within the send timeout; another reader gets every event meanwhile, and the first can resume."""
    settings = msgspec.structs.replace(QUICK, websocket_send_timeout_s=2.0)
    async with running(http=settings) as daemon:
        async with subscribed(daemon, receive_buffer=4096) as deaf, subscribed(daemon) as good:
            await until(lambda: daemon.world.hub.subscriptions == 2)
            heard = 0
            for _ in range(200):
                daemon.world.publish(COMPANY_A, "message", text="x" * 60_000)
                await good.text()
                heard += 1
            began = trio.current_time()
            await until(lambda: daemon.world.hub.subscriptions == 1)
            assert trio.current_time() - began < patience(10)
            with pytest.raises((trio.BrokenResourceError, AssertionError, pytest.fail.Exception, trio.TooSlowError)):  # noqa: PT012
                while True:
                    await deaf.text()
        assert heard == 200
        # Asked to go, or cut off when not even that can be written: whichever of the two limits is reached first.
        ends = (b'connections_total{outcome="cut"} 1.0', b'subscribers_dropped_total{reason="not_reading"} 1.0')
        assert any(end in daemon.metrics.exposition() for end in ends)


async def test_what_is_accepted_watches_its_peer() -> None:
    """Keepalive and the user timeout are set on the listening socket and inherited."""
    listener = await listen("127.0.0.1", 0, user_timeout_s=5.0)
    async with listener:
        client = trio.socket.socket()
        await client.connect(listener.socket.getsockname())
        stream = await listener.accept()
        options = [
            stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
            stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
            stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
        ]
        await stream.aclose()
        client.close()

    assert options == [1, 2, 1, 3, 5000]


async def test_an_address_in_use_is_a_clear_error(daemon: Daemon) -> None:
    """It names the address, the reason and the setting."""
    with pytest.raises(BindError) as caught:
        await listen("127.0.0.1", daemon.port, user_timeout_s=5.0)

    assert f"127.0.0.1:{daemon.port}: Address already in use" in str(caught.value)
    assert "WASUP_BIND" in str(caught.value)


async def test_a_name_that_is_no_host_is_a_clear_error() -> None:
    """The same error class as for an address in use."""
    with pytest.raises(BindError):
        await listen("no such host", 80, user_timeout_s=5.0)
