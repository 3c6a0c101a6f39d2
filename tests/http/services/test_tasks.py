"""The application's side of a connection, without a network."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.http.transport.tasks import AppTasks, AsgiEvent, AsgiReceive, AsgiScope, AsgiSend, Inbox

CHUNK: AsgiEvent = {"type": "http.request", "body": b"x", "more_body": True}
GONE: AsgiEvent = {"type": "http.disconnect"}


async def send_nowhere(_: AsgiEvent | None) -> None:
    """As hypercorn's `send` once the client is gone: it returns without a checkpoint."""


async def test_an_application_that_only_sends_lets_others_run() -> None:
    """Also when nothing can be sent any more."""
    others_ran: list[int] = []

    async def only_send(_scope: AsgiScope, _receive: AsgiReceive, send: AsgiSend) -> None:
        for number in range(1000):
            if others_ran:
                return
            await send({"type": "websocket.send", "text": str(number)})
        pytest.fail("nobody else ran")

    failures: list[Exception] = []
    tasks = AppTasks(failures.append)
    async with trio.open_nursery() as nursery, tasks.open():
        await tasks.spawn_app(only_send, None, {"type": "websocket"}, send_nowhere)
        nursery.start_soon(wait_then_note, others_ran)

    assert others_ran == [1]
    assert failures == []


async def test_an_application_that_only_asks_lets_others_run() -> None:
    """Also when the only event left is that the client is gone."""
    others_ran: list[int] = []
    inbox = Inbox()
    for _ in range(3):
        await inbox.put(CHUNK)
    await inbox.put(GONE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_then_note, others_ran)
        for _ in range(1000):
            if others_ran:
                return
            await inbox.receive()
    pytest.fail("nobody else ran")


async def test_an_application_that_was_cancelled_gets_nothing_more() -> None:
    """Events that wait already do not keep it going."""
    inbox = Inbox()
    await inbox.put(CHUNK)
    with trio.CancelScope() as scope:
        scope.cancel()
        await inbox.receive()

    assert scope.cancelled_caught
    assert (await inbox.receive())["type"] == "http.request"


async def wait_then_note(seen: list[int]) -> None:
    """Some other task of the daemon."""
    await trio.lowlevel.checkpoint()
    seen.append(1)


async def test_an_application_that_fails_is_reported_and_harms_nobody() -> None:
    """The protocol hears that it has ended, so that the client gets an end."""
    ends: list[object] = []

    async def fail(_scope: AsgiScope, _receive: AsgiReceive, _send: AsgiSend) -> None:
        raise ValueError("as the test wants it")

    async def note(event: AsgiEvent | None) -> None:
        ends.append(event)

    failures: list[Exception] = []
    tasks = AppTasks(failures.append)
    async with tasks.open():
        await tasks.spawn_app(fail, None, {"type": "http"}, note)

    assert [type(failure) for failure in failures] == [ValueError]
    assert ends == [None]


async def test_a_full_inbox_makes_the_reader_wait_but_not_a_disconnect() -> None:
    """The task that reports the disconnect may be the one that would have to make room."""
    inbox = Inbox()
    for _ in range(10):
        await inbox.put(CHUNK)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.put, CHUNK)
        await wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1
        await inbox.put(GONE)
        assert len(nursery.child_tasks) == 1
        await inbox.receive()

    received = [(await inbox.receive())["type"] for _ in range(12)]
    assert received == ["http.request"] * 10 + ["http.disconnect"] * 2


async def test_after_the_application_is_done_nothing_waits() -> None:
    """Unread events are dropped, also by a reader that waits already."""
    inbox = Inbox()
    for _ in range(10):
        await inbox.put(CHUNK)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.put, CHUNK)
        await wait_all_tasks_blocked()
        inbox.finish()
    for _ in range(30):
        await inbox.put(CHUNK)


async def test_everybody_under_way_hears_that_the_client_is_gone() -> None:
    """As an event of their own protocol."""
    heard: list[str] = []

    async def listen(_scope: AsgiScope, receive: AsgiReceive, _send: AsgiSend) -> None:
        heard.append((await receive())["type"])

    tasks = AppTasks(lambda _: None)
    async with tasks.open():
        await tasks.spawn_app(listen, None, {"type": "http"}, send_nowhere)
        await tasks.spawn_app(listen, None, {"type": "websocket"}, send_nowhere)
        await tasks.tell_gone()

    assert sorted(heard) == ["http.disconnect", "websocket.disconnect"]
