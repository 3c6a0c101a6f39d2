"""How the HTTP actor stops and comes back."""

from __future__ import annotations

import trio
import trio.lowlevel

from actors import messages as m
from tests.http.raw import connected, read_to_end, request, subscribed
from tests.http.world import COMPANY_A, QUICK, Daemon, running, sample_world, until
from tests.support.bars import patience

SEND = f"/api/whatsapp/sessions/{COMPANY_A}/send"
BODY = b'{"phone":"+79000000002","message":"x"}'


async def test_a_request_in_hand_is_answered_before_the_stop() -> None:
    """It has the drain time; the listening socket is closed meanwhile."""
    world = sample_world()
    arrived = trio.Event()

    async def wait(message: object) -> None:
        if isinstance(message, m.SendText):
            arrived.set()
            await trio.sleep(0.2)

    world.companies[COMPANY_A].on_ask = wait
    async with running(world, QUICK) as daemon, connected(daemon) as stream:
        await stream.send_all(request("POST", SEND, f"Content-Length: {len(BODY)}", body=BODY))
        await arrived.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.system.restart, "/http")
            answer = await read_to_end(stream)

    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_what_takes_too_long_is_cut_at_the_deadline() -> None:
    """A stop takes the drain time and a moment, whatever clients do."""
    world = sample_world()
    arrived = trio.Event()

    async def wait(message: object) -> None:
        if isinstance(message, m.SendText):
            arrived.set()
            await trio.sleep(2)

    world.companies[COMPANY_A].on_ask = wait
    async with running(world, QUICK) as daemon, connected(daemon) as idle, connected(daemon) as stream:
        await idle.send_all(b"GET / HT")
        await stream.send_all(request("POST", SEND, f"Content-Length: {len(BODY)}", body=BODY))
        await arrived.wait()
        began = trio.current_time()
        await daemon.system.restart("/http")
        took = trio.current_time() - began
        assert await read_to_end(stream) == b""

    assert 0.4 < took < patience(4)


async def test_readers_that_do_not_read_cannot_hold_up_a_stop() -> None:
    """Ten of them, with full buffers."""
    async with running(http=QUICK) as daemon, trio.open_nursery() as nursery:
        ready = trio.Event()

        async def deaf() -> None:
            async with subscribed(daemon, receive_buffer=4096):
                ready.set()
                await trio.sleep_forever()

        for _ in range(9):
            nursery.start_soon(deaf)
        await until(lambda: daemon.world.hub.subscriptions == 9)
        for _ in range(200):
            daemon.world.publish(COMPANY_A, "message", text="x" * 60_000)
        await trio.lowlevel.checkpoint()
        began = trio.current_time()
        await daemon.system.restart("/http")
        took = trio.current_time() - began
        nursery.cancel_scope.cancel()

    assert took < patience(4)


async def test_after_a_kill_it_serves_again(daemon: Daemon) -> None:
    """Open connections end; the next incarnation answers, and the tree shows the restart."""
    async with connected(daemon) as stream:
        await stream.send_all(b"GET / HT")
        await until(lambda: b'outcome="accepted"} 1' in daemon.metrics.exposition())
        daemon.system.kill("/http")
        assert await read_to_end(stream) == b""
    _, daemon.port = await daemon.system.ref("/http").ask(m.GetHttpAddress())

    async with daemon.client_with(None) as client:
        assert (await client.get("/livez")).status_code == 200
    assert daemon.system.snapshot("/http").restarts == 1
