"""The stream that an open dashboard follows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import h11
import msgspec
import pytest
import trio

from actors import messages as m
from actors.http.dashboard import stream as streaming
from config.sections import HttpSettings
from tests.http.fakes import Company
from tests.http.raw import connected
from tests.http.world import A_KEY, ADMIN_KEY, COMPANY_A, COMPANY_B, Daemon, running, sample_world, until

FAST = HttpSettings(dashboard_interval_s=0.05, drain_timeout_s=0.5, websocket_send_timeout_s=0.5)
PATIENCE_S = 60.0


class EndOfStreamError(Exception):
    """The server ended its response."""


class Page:
    """A reader of the stream that keeps what it got, as the page does."""

    def __init__(self, stream: trio.SocketStream, client: h11.Connection) -> None:
        self._stream = stream
        self._client = client
        self._text = b""
        self.tables: dict[str, dict[str, Any]] = {"tree": {}, "sessions": {}}
        self.seen: list[tuple[str, Any]] = []
        self.last_id: str | None = None

    async def read(self) -> tuple[str, Any]:
        """The next message: its kind and its data."""
        kind, data = "", ""
        for line in (await self._message()).decode().split("\n"):
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                data = value
            elif name == "id":
                self.last_id = value
        found = msgspec.json.decode(data)
        if kind in self.tables:
            self._apply(self.tables[kind], found, "path" if kind == "tree" else "companyId")
        self.seen.append((kind, found))
        return kind, found

    async def _message(self) -> bytes:
        while b"\n\n" not in self._text:
            event = await next_event(self._stream, self._client)
            if not isinstance(event, h11.Data):
                raise EndOfStreamError
            self._text += bytes(event.data)
        found, _, self._text = self._text.partition(b"\n\n")
        return found

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Read until the condition holds."""
        with trio.fail_after(PATIENCE_S):
            while not is_so():
                await self.read()

    async def next(self, kind: str) -> Any:
        """The data of the next message of that kind."""
        with trio.fail_after(PATIENCE_S):
            while True:
                found, data = await self.read()
                if found == kind:
                    return data

    @staticmethod
    def _apply(rows: dict[str, Any], difference: Any, key: str) -> None:
        if difference["isWhole"]:
            rows.clear()
        for name in difference["gone"]:
            del rows[name]
        rows.update({row[key]: row for row in difference["rows"]})


@asynccontextmanager
async def opened(daemon: Daemon, key: str | None = ADMIN_KEY, after: int | None = None) -> AsyncGenerator[Page]:
    """An open page."""
    headers = [("Host", "wasup"), ("Authorization", f"Bearer {key}")]
    headers += [] if after is None else [("Last-Event-ID", str(after))]
    client = h11.Connection(h11.CLIENT)
    async with connected(daemon) as stream:
        await stream.send_all(client.send(h11.Request(method="GET", target=streaming.PATH, headers=headers)) or b"")
        client.send(h11.EndOfMessage())
        answer = await next_event(stream, client)
        assert isinstance(answer, h11.Response)
        assert answer.status_code == 200
        assert (b"cache-control", b"no-store") in list(answer.headers)
        yield Page(stream, client)


async def next_event(stream: trio.SocketStream, client: h11.Connection) -> object:
    """The next piece of the response."""
    with trio.fail_after(PATIENCE_S):
        while (event := client.next_event()) is h11.NEED_DATA:
            client.receive_data(await stream.receive_some(65536))
    return event


@pytest.fixture
async def quick() -> AsyncGenerator[Daemon]:
    """A daemon whose dashboards get an update twenty times a second."""
    async with running(http=FAST) as daemon:
        yield daemon


async def test_a_page_is_shown_everything(quick: Daemon) -> None:
    """The principal, the daemon, the tree from its root, the sessions with their actors' states."""
    async with opened(quick) as page:
        hello = await page.next("hello")
        facts = await page.next("facts")
        await page.until(lambda: page.tables["sessions"].get(COMPANY_A, {}).get("reason") is not None)

    assert (hello["admin"], hello["companies"]) == (True, None)
    assert facts["postgres"] == {"kind": "embedded", "version": "18.1", "available": True}
    assert facts["rateLimit"] == {"backend": "memory", "messages": 30, "windowS": 60.0}
    assert {"/", "/http", "/companies", f"/companies/{COMPANY_A}"} <= set(page.tables["tree"])
    row = page.tables["sessions"][COMPANY_A]
    assert (row["status"], row["answers"], row["phoneNumber"]) == ("connected", True, "+79000000001")
    assert row["connectedAt"] > 1_700_000_000


async def test_a_kill_shows_as_a_change_of_that_row(quick: Daemon) -> None:
    """With its restart and its crash; rows of others are not sent again for it."""
    path = f"/companies/{COMPANY_A}"
    async with opened(quick) as page:
        await page.until(lambda: path in page.tables["tree"])
        before = len(page.seen)
        quick.system.kill(path, "for the test")
        await page.until(lambda: page.tables["tree"][path]["restarts"] == 1)

    row = page.tables["tree"][path]
    assert row["state"] == "running"
    assert "for the test" in row["crash"]["text"]
    later = [data for kind, data in page.seen[before:] if kind == "tree"]
    assert not any(data["isWhole"] for data in later)
    assert "/limiter" not in {row["path"] for data in later for row in data["rows"]}


async def test_a_company_that_is_forgotten_goes(quick: Daemon) -> None:
    """From both tables."""
    async with opened(quick) as page:
        await page.until(lambda: len(page.tables["sessions"]) == 2)
        await quick.client.delete(f"/api/whatsapp/sessions/{COMPANY_B}")
        await page.until(lambda: set(page.tables["sessions"]) == {COMPANY_A})
        await page.until(lambda: f"/companies/{COMPANY_B}" not in page.tables["tree"])


async def test_a_company_that_does_not_answer_is_shown_so(quick: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suspended actor delays no other."""
    monkeypatch.setattr("actors.http.dashboard.model.ASK_S", 0.2)
    quick.system.suspend(f"/companies/{COMPANY_A}")
    async with opened(quick) as page:
        await page.until(lambda: page.tables["sessions"].get(COMPANY_A, {}).get("answers") is False)
        await page.until(lambda: page.tables["sessions"][COMPANY_B]["answers"] is True)

    assert page.tables["tree"][f"/companies/{COMPANY_A}"]["state"] == "suspended"


async def test_events_come_with_their_number_and_are_resumed(quick: Daemon) -> None:
    """A page that comes back with the last id misses none."""
    async with opened(quick) as page:
        await page.next("hello")
        await until(lambda: quick.world.hub.subscriptions == 1)
        quick.world.publish(COMPANY_A, "status", status="connected")
        event = await page.next("event")
    for _ in range(3):
        quick.world.publish(COMPANY_A, "message")
    async with opened(quick, after=int(page.last_id or "")) as again:
        missed = [(await again.next("event"))["seq"] for _ in range(3)]

    assert (event["seq"], event["payload"], page.last_id) == (1, {"status": "connected"}, "1")
    assert missed == [2, 3, 4]


async def test_a_new_page_is_shown_the_latest_events(quick: Daemon) -> None:
    """The last fifty, then new ones."""
    for _ in range(60):
        quick.world.publish(COMPANY_A, "status")
    async with opened(quick) as page:
        shown = [(await page.next("event"))["seq"] for _ in range(50)]
        quick.world.publish(COMPANY_A, "status")
        shown.append((await page.next("event"))["seq"])

    assert shown == [*range(11, 61), 61]


async def test_a_key_of_one_company_sees_only_that_one(quick: Daemon) -> None:
    """Its session and its events; nothing of the tree or the daemon."""
    quick.world.publish(COMPANY_B, "status")
    quick.world.publish(COMPANY_A, "status")
    async with opened(quick, A_KEY) as page:
        hello = await page.next("hello")
        event = await page.next("event")
        await page.until(lambda: page.tables["sessions"].get(COMPANY_A, {}).get("answers") is True)

    assert (hello["admin"], hello["companies"]) == (False, [COMPANY_A])
    assert event["companyId"] == COMPANY_A
    assert set(page.tables["sessions"]) == {COMPANY_A}
    assert {data["total"] for kind, data in page.seen if kind == "sessions"} == {1}
    assert not {"tree", "facts"} & {kind for kind, _ in page.seen}


@pytest.mark.parametrize(
    ("key", "headers", "status", "code"),
    [
        (None, {}, 401, "unauthorized"),
        ("wasup_wrong_000000000000000000000000000", {}, 401, "unauthorized"),
        (ADMIN_KEY, {"Last-Event-ID": "x"}, 422, "invalid_request"),
        (ADMIN_KEY, {"Last-Event-ID": "9" * 30}, 422, "invalid_request"),
    ],
)
async def test_a_stream_is_refused_as_any_request(
    quick: Daemon, key: str | None, headers: dict[str, str], status: int, code: str
) -> None:
    """A problem document, and the connection is closed."""
    async with quick.client_with(key) as client:
        answer = await client.get(streaming.PATH, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert b"wasup_dashboards_open 0.0" in quick.metrics.exposition()


async def test_dashboards_are_limited() -> None:
    """One more than the limit is refused with the time to wait; the others go on."""
    async with (
        running(http=HttpSettings(max_dashboards=1, dashboard_interval_s=0.05)) as daemon,
        opened(daemon) as page,
    ):
        await page.next("hello")
        answer = await daemon.client.get(streaming.PATH)
        await page.next("sessions")

    assert (answer.status_code, answer.json()["code"]) == (503, "too_many_subscribers")
    assert answer.headers["retry-after"]


async def test_a_revoked_key_closes_the_page(quick: Daemon) -> None:
    """The page gets the reason."""
    async with opened(quick) as page:
        await page.next("hello")
        quick.world.revoke(ADMIN_KEY)
        assert await page.next("bye") == {"reason": "key_revoked"}
        with pytest.raises(EndOfStreamError):
            await page.read()


async def test_a_restart_says_goodbye(quick: Daemon) -> None:
    """The reason, and then the response ends in order: the page can tell this from a broken connection."""
    async with opened(quick) as page:
        await page.next("hello")
        await quick.system.restart("/http")
        assert await page.next("bye") == {"reason": "restarting"}
        with pytest.raises(EndOfStreamError):
            await page.read()


async def test_without_the_event_log_the_rest_goes_on(quick: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Postgres is away: the page says so and still shows the tree; when it is back, the events come."""
    monkeypatch.setattr(streaming, "AGAIN_S", 0.05)
    async with opened(quick) as known:  # the key is verified once; then it is cached
        await known.next("hello")
    quick.world.storage_is_away = True
    async with opened(quick) as page:
        assert await page.next("log") == {"available": False}
        await page.next("tree")
        quick.world.storage_is_away = False
        assert await page.next("log") == {"available": True}
        await until(lambda: quick.world.hub.subscriptions == 1)
        quick.world.publish(COMPANY_A, "status")
        assert (await page.next("event"))["seq"] == 1


async def test_events_go_on_when_their_actor_was_restarted(quick: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's subscription follows the new actor, without a gap and without a new page."""
    monkeypatch.setattr(streaming, "AGAIN_S", 0.05)
    async with opened(quick) as page:
        await page.next("log")
        quick.world.publish(COMPANY_A, "status")
        assert (await page.next("event"))["seq"] == 1
        quick.system.kill("/events")
        await page.until(lambda: page.tables["tree"].get("/events", {}).get("restarts") == 1)
        quick.world.publish(COMPANY_A, "status")
        assert (await page.next("event"))["seq"] == 2


async def test_nobody_is_asked_while_no_page_is_open(quick: Daemon) -> None:
    """A dashboard has no cost until it is opened, and none after it was closed."""
    company = quick.world.companies[COMPANY_A]
    await trio.sleep(0.2)
    assert company.asked == []
    async with opened(quick) as page:
        await page.until(lambda: page.tables["sessions"].get(COMPANY_A, {}).get("answers") is True)
    await until(lambda: b"wasup_dashboards_open 0.0" in quick.metrics.exposition())
    asked = len(company.asked)
    await trio.sleep(0.2)

    assert 0 < asked == len(company.asked)


async def test_a_reader_that_does_not_read_is_cut_off_and_hurts_nobody(quick: Daemon) -> None:
    """Its queue is bounded; other pages go on."""
    request = f"GET {streaming.PATH} HTTP/1.1\r\nHost: wasup\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\r\n"
    async with connected(quick, receive_buffer=1024) as stalled, opened(quick) as page:
        await stalled.send_all(request.encode())
        await until(lambda: quick.world.hub.subscriptions == 2)
        for _ in range(900):
            quick.world.publish(COMPANY_A, "message", text="x" * 4000)
            await trio.lowlevel.checkpoint()
        await page.until(lambda: page.last_id == "900")
        await until(lambda: quick.world.hub.subscriptions == 1)

        await until(lambda: b'wasup_http_connections_total{outcome="cut"} 1.0' in quick.metrics.exposition())


async def test_a_thousand_companies_come_in_parts_and_then_as_differences() -> None:
    """No message holds more than two hundred rows; one company's change is a row or two, not a thousand."""
    world = sample_world()
    world.companies |= {str(number): Company(str(number)) for number in range(100_000, 101_000)}
    async with running(world, FAST) as daemon, opened(daemon) as page:
        await page.until(lambda: len(page.tables["sessions"]) == 1002 and len(page.tables["tree"]) > 1002)
        parts = [len(data["rows"]) for kind, data in page.seen if kind in page.tables]
        answered = sum(row["answers"] is True for row in page.tables["sessions"].values())
        await page.until(lambda: all(row["answers"] for row in page.tables["sessions"].values()))
        before = len(page.seen)
        world.companies["100500"].state = m.CompanyState.RECONNECTING
        await page.until(lambda: page.tables["sessions"]["100500"]["status"] == "reconnecting")
        later = [row["companyId"] for kind, data in page.seen[before:] if kind == "sessions" for row in data["rows"]]

    assert max(parts) == streaming.ROWS_AT_ONCE
    assert answered < 1000
    assert later.count("100500") == 1
    assert len(later) <= 5
