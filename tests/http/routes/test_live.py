"""Live events over WebSocket."""

from __future__ import annotations

import math
import time

import msgspec
import pytest
import trio
from wsproto.events import Ping, Pong, TextMessage

from actors.events.hub import Filter, Hub
from actors.events.subscription import Subscription
from actors.http.routes.live import Stream
from actors.http.transport.tasks import AsgiEvent, Line
from actors.messages import Event
from config.sections import HttpSettings
from storage.errors import StorageUnavailable
from tests.http.raw import WebSocket, WebSocketRefused, connected, subscribed
from tests.http.world import A_KEY, COMPANY_A, COMPANY_B, Daemon, running, until
from tests.support.bars import patience


async def received(websocket: WebSocket, count: int) -> list[int]:
    """The ``seq`` of the next messages."""
    return [msgspec.json.decode(await websocket.text())["seq"] for _ in range(count)]


async def wait_for_subscribers(daemon: Daemon, count: int) -> None:
    """Wait until the hub has that many feeds."""
    await until(lambda: daemon.world.hub.subscriptions == count)


async def test_events_arrive_as_they_happen(daemon: Daemon) -> None:
    """One JSON object a message, with all its fields."""
    async with subscribed(daemon) as websocket:
        await wait_for_subscribers(daemon, 1)
        daemon.world.publish(COMPANY_A, "message", text="hello")
        event = msgspec.json.decode(await websocket.text())

    assert event == {
        "id": "event-1",
        "seq": 1,
        "type": "message",
        "companyId": COMPANY_A,
        "timestamp": 1_790_000_000.0,
        "payload": {"text": "hello"},
    }


async def test_a_subscription_resumes_after_a_seq(daemon: Daemon) -> None:
    """Missed events come first, then new ones, without a gap."""
    for _ in range(5):
        daemon.world.publish(COMPANY_A, "status")
    async with subscribed(daemon, "?after=2") as websocket:
        assert await received(websocket, 3) == [3, 4, 5]
        daemon.world.publish(COMPANY_A, "status")
        assert await received(websocket, 1) == [6]


async def test_events_that_wait_together_go_out_in_one_write(daemon: Daemon) -> None:
    """A write costs more than all other work for a frame: a hundred readers of a busy log depend on this."""
    async with subscribed(daemon) as websocket:
        daemon.world.publish(COMPANY_A, "status")
        await received(websocket, 1)  # from here on it is live
        for _ in range(30):
            daemon.world.publish(COMPANY_A, "status")
        with trio.fail_after(30):
            data = await websocket.stream.receive_some(65536)

    assert data.count(b'"seq":') == 30


async def test_events_that_fill_several_writes_arrive_complete(daemon: Daemon) -> None:
    """In their order, each whole."""
    async with subscribed(daemon) as websocket:
        await wait_for_subscribers(daemon, 1)
        for number in range(100):
            daemon.world.publish(COMPANY_A, "message", text=str(number) * 2000)
        texts = [msgspec.json.decode(await websocket.text())["payload"]["text"] for _ in range(100)]

    assert texts == [str(number) * 2000 for number in range(100)]


def status_event(seq: int) -> Event:
    """One of company A."""
    return Event(id=f"e{seq}", seq=seq, type="status", company_id=COMPANY_A, timestamp=0.0, payload=msgspec.Raw(b"{}"))


async def test_an_end_between_events_that_wait_together_says_what_was_sent() -> None:
    """Events before it are written together with the goodbye, the others are not sent, and ``after`` agrees."""
    stream: Stream
    line = Line(heard_at=trio.current_time())
    sent: list[tuple[str, bool]] = []

    async def read_log(_after: int, _limit: int, _wanted: Filter) -> tuple[tuple[Event, ...], int]:
        return tuple(status_event(seq) for seq in range(1, 6)), 5

    async def send(message: AsgiEvent) -> None:
        sent.append((message["type"] + str(message.get("reason", "")), line.more_follows))
        if len(sent) == 4:
            stream.end(1008, "key_revoked")

    async def receive() -> AsgiEvent:
        await trio.sleep_forever()

    hub = Hub(max_feeds=1, feed_capacity=10)
    stream = Stream(Subscription(hub, Filter(), read_log, 0), receive, send)
    with trio.fail_after(30):
        await stream.run(line, math.inf)

    assert sent == [
        ("websocket.accept", False),
        *[("websocket.send", True)] * 3,
        ("websocket.closekey_revoked; resume with after=3", False),
    ]


async def test_filters_choose_company_and_type(daemon: Daemon) -> None:
    """Both at once; repeated or with commas."""
    for kind in ("qr", "message", "status"):
        daemon.world.publish(COMPANY_A, kind)
        daemon.world.publish(COMPANY_B, kind)
    async with subscribed(daemon, f"?after=0&companyId={COMPANY_A}&type=qr,status&type=logout") as websocket:
        assert await received(websocket, 2) == [1, 5]


async def test_a_key_of_one_company_hears_only_that_one(daemon: Daemon) -> None:
    """Without a filter it gets its own events."""
    daemon.world.publish(COMPANY_B, "status")
    daemon.world.publish(COMPANY_A, "status")
    async with subscribed(daemon, "?after=0", key=A_KEY) as websocket:
        assert await received(websocket, 1) == [2]


@pytest.mark.parametrize(
    ("query", "key", "status", "code"),
    [
        ("", None, 401, "unauthorized"),
        ("", "wasup_wrong_000000000000000000000000000", 401, "unauthorized"),
        (f"?companyId={COMPANY_B}", A_KEY, 403, "access_denied"),
        ("?companyId=nobody", A_KEY, 403, "access_denied"),
        ("?after=x", A_KEY, 422, "invalid_request"),
        ("?after=-1", A_KEY, 422, "invalid_request"),
        ("?after=9223372036854775808", A_KEY, 422, "invalid_request"),
        ("?type=a%00b", A_KEY, 422, "invalid_request"),
        ("?type=mesage", A_KEY, 422, "invalid_request"),
        ("/more", A_KEY, 404, "not_found"),
        ("?ticket=wasup_ticket_made_up", None, 401, "unauthorized"),
        ("?" + "a&" * 201 + "a=1", A_KEY, 422, "invalid_request"),
    ],
)
async def test_a_refused_handshake_is_a_problem(
    daemon: Daemon, query: str, key: str | None, status: int, code: str
) -> None:
    """Plain HTTP with the same body as everywhere."""
    with pytest.raises(WebSocketRefused) as caught:
        async with subscribed(daemon, query, key=key):
            pass

    assert (caught.value.status, msgspec.json.decode(caught.value.body)["code"]) == (status, code)


async def test_one_too_many_subscribers_is_refused() -> None:
    """503, and a place is free again when one leaves."""
    async with running(http=HttpSettings(max_websockets=1)) as daemon:
        async with subscribed(daemon):
            with pytest.raises(WebSocketRefused) as caught:
                async with subscribed(daemon):
                    pass
        await wait_for_subscribers(daemon, 0)
        async with subscribed(daemon):
            pass

    assert msgspec.json.decode(caught.value.body)["code"] == "too_many_subscribers"


async def test_storage_away_refuses_the_handshake(daemon: Daemon) -> None:
    """503, with the key still known."""
    await daemon.client.get("/api/whatsapp/sessions")
    daemon.world.storage_is_away = True

    with pytest.raises(WebSocketRefused) as caught:
        async with subscribed(daemon, "?after=0"):
            pass

    assert (caught.value.status, msgspec.json.decode(caught.value.body)["code"]) == (503, "storage_unavailable")


async def test_a_subscriber_who_speaks_is_sent_away(daemon: Daemon) -> None:
    """1003: the stream takes no messages; a ping is answered all the same."""
    async with subscribed(daemon) as websocket:
        await websocket.send(Ping(b"x"))
        while not isinstance(event := await websocket.next_event(), Pong):
            pass
        assert event.payload == b"x"
        await websocket.send(TextMessage("hello"))
        closing = await websocket.closed()

    assert closing.code == 1003


async def test_a_restart_of_the_events_actor_sends_readers_back(daemon: Daemon) -> None:
    """1012 with where to resume; later events would not have reached them."""
    daemon.world.publish(COMPANY_A, "status")
    async with subscribed(daemon, "?after=0") as websocket:
        assert await received(websocket, 1) == [1]
        daemon.system.kill("/events")
        closing = await websocket.closed()

    assert (closing.code, closing.reason) == (1012, "restarting; resume with after=1")


async def test_a_slow_reader_is_told_where_to_resume(daemon: Daemon) -> None:
    """1013 when it is a queue behind; the next reader goes on from there."""
    async with subscribed(daemon) as websocket:
        daemon.world.publish(COMPANY_A, "status")
        await received(websocket, 1)  # from here on it is live
        for _ in range(1500):
            daemon.world.publish(COMPANY_A, "status")
        closing = await websocket.closed()

    assert closing.code == 1013
    assert closing.reason is not None
    assert closing.reason.startswith("slow_consumer; resume with after=")
    dropped = b'wasup_events_subscribers_dropped_total{reason="slow_consumer"} 1.0'
    await until(lambda: dropped in daemon.metrics.exposition())


async def test_x7_a_revoked_key_closes_its_streams(daemon: Daemon) -> None:
    """1008 within 5 s, for those opened with the key and with a ticket for it; another key's stream goes on."""
    ticket = await ticket_for(daemon, A_KEY)
    async with (
        subscribed(daemon, key=A_KEY) as by_key,
        subscribed(daemon, f"?ticket={ticket}", key=None) as by_ticket,
        subscribed(daemon) as other,
    ):
        daemon.world.revoke(A_KEY)
        began = trio.current_time()
        closings = [await by_key.closed(), await by_ticket.closed()]
        took = trio.current_time() - began
        daemon.world.publish(COMPANY_A, "status")
        assert await received(other, 1) == [1]

    assert [(closing.code, closing.reason) for closing in closings] == [(1008, "key_revoked")] * 2
    print(f"X7: closed {took:.2f} s after the revocation, bar 5 s")
    assert took < patience(5)


async def ticket_for(daemon: Daemon, key: str) -> str:
    """A ticket that stands for a key."""
    async with daemon.client_with(key) as client:
        answer = await client.post("/api/whatsapp/events/tickets")
    assert answer.status_code == 201
    assert 0 < answer.json()["expiresAt"] - time.time() <= 30
    return str(answer.json()["ticket"])


async def test_a_ticket_opens_one_stream_with_its_keys_rights(daemon: Daemon) -> None:
    """What the key may see, and not a second time."""
    ticket = await ticket_for(daemon, A_KEY)
    daemon.world.publish(COMPANY_B, "status")
    daemon.world.publish(COMPANY_A, "status")
    async with subscribed(daemon, f"?after=0&ticket={ticket}", key=None) as websocket:
        assert await received(websocket, 1) == [2]
        with pytest.raises(WebSocketRefused) as caught:
            async with subscribed(daemon, f"?ticket={ticket}", key=None):
                pass

    assert (caught.value.status, msgspec.json.decode(caught.value.body)["code"]) == (401, "unauthorized")


async def test_a_ticket_is_no_key(daemon: Daemon) -> None:
    """It opens only the live events."""
    ticket = await ticket_for(daemon, A_KEY)
    async with daemon.client_with(ticket) as client:
        answer = await client.get("/api/whatsapp/sessions")

    assert answer.status_code == 401


async def test_a_stop_says_goodbye() -> None:
    """1012 before the connection ends."""
    async with running() as daemon, connected(daemon) as stream:
        websocket = WebSocket(stream)
        await websocket.open("/api/whatsapp/events")
        await wait_for_subscribers(daemon, 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.system.restart, "/http")
            closing = await websocket.closed()

    assert (closing.code, closing.reason) == (1012, "restarting")


async def test_a_log_that_fails_in_the_middle_ends_the_stream(daemon: Daemon) -> None:
    """1013 with where to resume, not silence."""
    for _ in range(600):
        daemon.world.publish(COMPANY_A, "status")
    # As after a restart of the daemon: memory is empty, everything must be read.
    daemon.world.hub = Hub(max_feeds=10, feed_capacity=1000)

    def fail_on_second_page(after: int) -> None:
        if after > 0:
            raise StorageUnavailable("as the test wants it")

    daemon.world.on_read = fail_on_second_page
    async with subscribed(daemon, "?after=0") as websocket:
        assert await received(websocket, 500) == list(range(1, 501))
        closing = await websocket.closed()

    assert (closing.code, closing.reason) == (1013, "storage_unavailable; resume with after=500")
