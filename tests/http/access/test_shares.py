"""What keys share: one key takes all it can get of each limit; another company's key and an administrator still get theirs at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from actors.http.access.audit import MAX_WAITING, AuditTrail
from actors.http.dashboard import stream as streaming
from actors.http.services import idempotency
from actors.http.services.idempotency import MAX_UNSAVED, Remembered
from actors.http.transport.client_address import ClientAddresses
from config.sections import HttpSettings, MediaSettings, OutboundSettings, WebhookSettings
from tests.http.fakes import MemoryAudit
from tests.http.raw import WebSocketRefused, connected, exchange, read_answer, read_to_end, request, subscribed
from tests.http.world import A_KEY, ADMIN_KEY, COMPANY_A, COMPANY_B, Daemon, running, sample_world, until
from tests.outbound.receiver import LOOPBACK, Received, listening
from tests.support.samples import png

B_KEY: Final = "wasup_bbbbbbbb_0123456789abcdefghijklmnopqrstuvwxyzABCDEF"
COMPANY_OF: Final = {A_KEY: COMPANY_A, B_KEY: COMPANY_B, ADMIN_KEY: COMPANY_B}
PATIENCE_S: Final = 30.0

Take = Callable[[Daemon, str, AsyncExitStack], Awaitable[int]]
"""``(daemon, key, held)`` -> the status of one more request; what it holds is released with ``held``."""


@asynccontextmanager
async def shared(directory: Path, **http: Any) -> AsyncGenerator[Daemon]:
    """A daemon with a key for each company and one for administration."""
    world = sample_world()
    world.add_key(B_KEY, COMPANY_B)
    settings = HttpSettings(drain_timeout_s=0.2, **http)
    async with running(world, settings, state_dir=directory, media=MediaSettings(max_transfers=8)) as daemon:
        yield daemon


async def take_ticket(daemon: Daemon, key: str, held: AsyncExitStack) -> int:
    """A ticket, which is valid for half a minute."""
    async with daemon.client_with(key) as client:
        return (await client.post("/api/whatsapp/events/tickets")).status_code


async def take_websocket(daemon: Daemon, key: str, held: AsyncExitStack) -> int:
    """An open WebSocket."""
    try:
        await held.enter_async_context(subscribed(daemon, key=key))
    except WebSocketRefused as refused:
        return refused.status
    return 200


async def take_dashboard(daemon: Daemon, key: str, held: AsyncExitStack) -> int:
    """An open dashboard."""
    client = await held.enter_async_context(daemon.client_with(key))
    answer = await held.enter_async_context(client.stream("GET", streaming.PATH))
    return answer.status_code


def taken(daemon: Daemon, of: str) -> float:
    """How many places of this limit are taken."""
    name = f'wasup_shared_places_taken{{of="{of}"}} '
    return float(daemon.metrics.exposition().decode().partition(name)[2].partition("\n")[0])


async def _hold(daemon: Daemon, key: str, held: AsyncExitStack, of: str, path: str) -> int:
    """A request whose body does not end: 200 once it has its place, or the status of its refusal."""
    before = taken(daemon, of)
    stream = await held.enter_async_context(connected(daemon))
    await stream.send_all(
        request("POST", path, "Content-Type: application/json", "Content-Length: 100", body=b"{", key=key)
    )
    answer = b""
    with trio.fail_after(PATIENCE_S):
        while taken(daemon, of) == before:
            with trio.move_on_after(0.01):
                answer += await stream.receive_some()
            if answer:
                await stream.aclose()
                return int(answer.split()[1])
    return 200


async def take_transfer(daemon: Daemon, key: str, held: AsyncExitStack) -> int:
    """A slow upload."""
    return await _hold(daemon, key, held, "files", f"/api/whatsapp/sessions/{COMPANY_OF[key]}/media")


async def take_request(daemon: Daemon, key: str, held: AsyncExitStack) -> int:
    """A slow request by the fast path."""
    return await _hold(daemon, key, held, "requests", f"/api/whatsapp/sessions/{COMPANY_OF[key]}/send")


async def take_other_request(daemon: Daemon, key: str, held: AsyncExitStack) -> int:
    """A slow request by the framework."""
    return await _hold(daemon, key, held, "requests", f"/api/whatsapp/sessions/{COMPANY_OF[key]}/typing")


LIMITS: Final[dict[str, tuple[Take, dict[str, Any], int]]] = {
    "tickets": (take_ticket, {"max_tickets": 20}, 429),
    "websockets": (take_websocket, {"max_websockets": 20}, 503),
    "dashboards": (take_dashboard, {"max_dashboards": 20}, 503),
    "uploads": (take_transfer, {}, 429),
    "requests": (take_request, {"max_connections": 60}, 429),
    "other requests": (take_other_request, {"max_connections": 60}, 429),
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_one_key_leaves_places_for_others(tmp_path: Path, limit: str) -> None:
    """It takes what it can get, a third at most; another company's key and an administrator get their place at once; and when it releases
    them, all is as before."""
    take, settings, refused = LIMITS[limit]
    async with shared(tmp_path, **settings) as daemon, AsyncExitStack() as held:
        got = 0
        while (status := await take(daemon, A_KEY, held)) < 300:
            got += 1
            assert got <= 40
        others = [await take(daemon, key, held) for key in (B_KEY, ADMIN_KEY)]

    assert status == refused
    assert 2 <= got <= 20
    assert [status < 300 for status in others] == [True, True]


@pytest.mark.parametrize("limit", ["websockets", "dashboards", "uploads", "requests"])
async def test_an_administrator_gets_through_when_many_keys_took_everything(tmp_path: Path, limit: str) -> None:
    """No place is left for any other key."""
    take, settings, refused = LIMITS[limit]
    async with shared(tmp_path, **settings) as daemon:
        keys = [f"wasup_many{number:04}_0123456789abcdefghijklmnopqrstuvwxyzABCDEF" for number in range(30)]
        for key in keys:
            daemon.world.add_key(key, COMPANY_A)
            COMPANY_OF.setdefault(key, COMPANY_A)
        async with AsyncExitStack() as held:
            for key in keys:
                while await take(daemon, key, held) < 300:
                    pass
            of_another = await take(daemon, B_KEY, held)
            of_an_admin = await take(daemon, ADMIN_KEY, held)

    assert of_another == refused
    assert of_an_admin < 300


async def test_uploads_leave_room_for_all_other_files(tmp_path: Path) -> None:
    """While one company's key uploads as slowly as it can, another uploads, fetches and sends a file."""
    async with shared(tmp_path) as daemon, AsyncExitStack() as held:
        while await take_transfer(daemon, A_KEY, held) == 200:
            pass
        async with daemon.client_with(B_KEY) as client:
            media = f"/api/whatsapp/sessions/{COMPANY_B}/media"
            made = await client.post(media, content=png())
            fetched = await client.get(f"{media}/{made.json()['mediaId']}")
            body = {"phone": "+79000000002", "image": {"mediaId": made.json()["mediaId"]}}
            sent = await client.post(f"/api/whatsapp/sessions/{COMPANY_B}/send", json=body)

    assert (made.status_code, fetched.status_code, sent.status_code) == (201, 200, 200)
    assert fetched.content == png()


async def test_webhook_tests_are_shared(tmp_path: Path) -> None:
    """One key whose receivers do not answer does not keep another from testing its own."""

    async def answer(received: Received) -> tuple[int, dict[str, str], bytes]:
        if received.target == "/hangs":
            await trio.sleep_forever()
        return 204, {}, b""

    outbound = OutboundSettings(allow_http=True, allowed_networks=LOOPBACK)
    world = sample_world()
    world.add_key(B_KEY, COMPANY_B)
    settings: dict[str, Any] = {"outbound": outbound, "webhooks": WebhookSettings(timeout_s=2.0)}
    async with listening(answer) as host, running(world, HttpSettings(drain_timeout_s=0.2), **settings) as daemon:

        async def tested(key: str, path: str) -> int:
            async with daemon.client_with(key) as client:
                body = {"url": f"http://127.0.0.1:{host.port}{path}", "companies": [COMPANY_OF[key]]}
                made = (await client.post("/api/whatsapp/webhooks", json=body)).json()["id"]
                return (await client.post(f"/api/whatsapp/webhooks/{made}/test")).status_code

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tested, A_KEY, "/hangs")
            await until(lambda: taken(daemon, "webhook_tests") == 1)
            refused, others = await tested(A_KEY, "/hangs"), [await tested(key, "/fine") for key in (B_KEY, ADMIN_KEY)]
            nursery.cancel_scope.cancel()

    assert (refused, others) == (503, [200, 200])


async def test_webhooks_of_a_company_are_bounded() -> None:
    """Twenty by default, here three; the last tenth of all is for administrators."""
    world = sample_world()
    world.add_key(B_KEY, COMPANY_B)
    hooks = WebhookSettings(max_endpoints=5, max_endpoints_per_company=3)

    async with running(world, webhooks=hooks) as daemon:

        async def make(key: str) -> tuple[int, str]:
            async with daemon.client_with(key) as client:
                body = {"url": "https://app.example/hook", "companies": [COMPANY_OF[key]]}
                answer = await client.post("/api/whatsapp/webhooks", json=body)
                return answer.status_code, answer.json().get("code", "")

        of_a = [await make(A_KEY) for _ in range(4)]
        of_b = [await make(B_KEY) for _ in range(2)]
        of_an_admin = await make(ADMIN_KEY)

    assert of_a == [(201, "")] * 3 + [(409, "too_many_webhooks")]
    assert of_b == [(201, ""), (409, "too_many_webhooks")]
    assert of_an_admin == (201, "")


async def test_an_idle_connection_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections are open and idle: the one that has been idle longest is closed, and a new one is served at once; one with a
    request under way stays."""
    monkeypatch.setattr("actors.http.transport.server.IDLE_S", 0.0)
    async with (
        running(http=HttpSettings(max_connections=3, drain_timeout_s=0.2)) as daemon,
        connected(daemon) as busy,
        connected(daemon) as idle,
        connected(daemon) as later,
    ):
        await busy.send_all(b"POST /api/whatsapp/sessions/962302/send HTTP/1.1\r\n")
        await later.send_all(request("GET", "/livez").replace(b"Connection: close\r\n", b""))
        await read_answer(later)
        answer = await exchange(daemon, request("GET", "/livez"))
        with trio.fail_after(PATIENCE_S):
            ended = await idle.receive_some()
        await busy.send_all(b"Host: localhost\r\nConnection: close\r\n\r\n")
        still = await read_answer(busy)

    assert (answer[:12], ended) == (b"HTTP/1.1 200", b"")
    assert still.startswith(b"HTTP/1.1 401 ")


async def test_one_address_leaves_connections_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections with half a request each, from an address that is neither a proxy's nor this machine's."""
    monkeypatch.setattr(ClientAddresses, "is_near", lambda self, host: host == "127.0.0.9")
    async with running(http=HttpSettings(max_connections=20, drain_timeout_s=0.2)) as daemon, AsyncExitStack() as held:
        for _ in range(20):
            stream = await held.enter_async_context(connected(daemon))
            await stream.send_all(b"GET /livez HTTP/1.1\r\n")
        answers = [await get_from(daemon, address) for address in ("127.0.0.1", "127.0.0.2", "127.0.0.9")]

    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 503", b"HTTP/1.1 200", b"HTTP/1.1 200"]


async def get_from(daemon: Daemon, address: str) -> bytes:
    """The response to a client with this address."""
    with trio.socket.socket() as client:
        await client.bind((address, 0))
        await client.connect(("127.0.0.1", daemon.port))
        stream = trio.SocketStream(client)
        with suppress(trio.BrokenResourceError):
            await stream.send_all(request("GET", "/livez"))
        return await read_to_end(stream)


async def test_answers_that_wait_for_postgres_are_shared() -> None:
    """A company whose responses could not be recorded pushes out its own, not another's."""
    kept: OrderedDict[tuple[str, str], Remembered] = OrderedDict()
    idempotency._put(kept, (COMPANY_B, "b"), Remembered(b"", None))
    for number in range(2 * MAX_UNSAVED):
        idempotency._put(kept, (COMPANY_A, str(number)), Remembered(b"", None))

    assert (COMPANY_B, "b") in kept
    assert len(kept) == MAX_UNSAVED
    assert (COMPANY_A, str(2 * MAX_UNSAVED - 1)) in kept


async def test_what_waits_for_the_audit_log_is_shared() -> None:
    """While Postgres is away one key's many actions push out their own oldest, not an administrator's."""
    trail = AuditTrail(MemoryAudit(sample_world()))
    trail.record(key_id="admin000", action="keys", target="x", address="192.0.2.1")
    for number in range(2 * MAX_WAITING):
        trail.record(key_id="aaaaaaaa", action="start", target=str(number), address="192.0.2.2")
    waiting = list(trail._waiting.values())

    assert len(waiting) == MAX_WAITING
    assert [entry.key_id for entry in waiting].count("admin000") == 1
    assert waiting[-1].target == str(2 * MAX_WAITING - 1)
