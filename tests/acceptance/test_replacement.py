"""An application that was written against the system that wasup replaces: the same calls, the same shapes, unchanged."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, final

import httpx
import msgspec
import pytest
import trio
from wsproto.events import CloseConnection

from tests.http.raw import WebSocket
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.site import Plan, Site, User, join_whatsapp

SHOP, CUSTOMER = User(1), User(2)
LIMIT: Final = 6
PLAN = Plan(companies=(CUSTOMER,), settings={"RATE_LIMIT_MAX_REQUESTS": str(LIMIT), "RATE_LIMIT_WINDOW_MS": "600000"})
PATIENCE_S: Final = 60.0

OLD_METRICS: Final = {
    "totalSessions",
    "activeConnections",
    "failedReconnects",
    "messagesSent",
    "messagesReceived",
    "qrCodesGenerated",
    "errors",
    "lastError",
    "sessions",
    "timestamp",
}
OLD_NAMES: Final = (
    "whatsapp_sessions_total",
    "whatsapp_active_connections",
    "whatsapp_messages_sent_total",
    "whatsapp_messages_received_total",
    "whatsapp_errors_total",
    "whatsapp_reconnect_attempts",
)


class RefusedError(Exception):
    """How the application treats a response without success: the sentence that it shows."""

    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        super().__init__(answer["error"])
        self.status = status
        self.answer = answer


@final
class Application:
    """Knows only the old API: it looks at `success` and `error` first, and at the fields it has always read."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = await self._http.request(method, f"/api/whatsapp{path}", json=body)
        found: dict[str, Any] = answer.json()
        if not found["success"]:
            raise RefusedError(answer.status_code, found)
        return found

    async def sessions(self) -> dict[str, Any]:
        """All sessions, with the counters."""
        return await self._call("GET", "/sessions")

    async def link(self, company: str) -> dict[str, Any]:
        """The QR code to show, as picture, text and blocks."""
        return await self._call("POST", f"/sessions/{company}/initialize")

    async def send(
        self, company: str, phone: str, message: str, quoted: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a text."""
        body: dict[str, Any] = {"phone": phone, "message": message}
        if quoted:
            body["options"] = {"quoted": quoted}
        return await self._call("POST", f"/sessions/{company}/send", body)

    async def health(self, company: str) -> dict[str, Any]:
        """Whether a session is well."""
        return await self._call("GET", f"/sessions/{company}/health")

    async def metrics(self) -> dict[str, Any]:
        """The counters."""
        return await self._call("GET", "/metrics")

    async def order(self, company: str, word: str) -> dict[str, Any]:
        """Start, stop, restart or log out a company."""
        return await self._call("POST", f"/sessions/{company}/{word}")

    async def forget(self, company: str) -> dict[str, Any]:
        """Remove a company."""
        return await self._call("DELETE", f"/sessions/{company}")

    async def wait_connected(self, company: str) -> None:
        """Look at the list again and again, as it has always done."""
        with trio.fail_after(PATIENCE_S):
            while True:
                found = {each["companyId"]: each["connected"] for each in (await self.sessions())["sessions"]}
                if found.get(company):
                    return
                await trio.sleep(0.1)


@pytest.fixture
async def application(site: Site) -> AsyncGenerator[Application]:
    """It has an API key, as before."""
    headers = {"X-Api-Key": site.daemon.key}
    async with httpx.AsyncClient(base_url=site.daemon.url, headers=headers, timeout=60.0, trust_env=False) as http:
        yield Application(http)


@asynccontextmanager
async def listening(site: Site) -> AsyncGenerator[WebSocket]:
    """Its event stream."""
    host, _, port = site.daemon.url.removeprefix("http://").rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        websocket = WebSocket(stream)
        await websocket.open("/api/whatsapp/events", site.daemon.key)
        yield websocket
        await websocket.send(CloseConnection(code=1000))


async def heard(websocket: WebSocket, kind: str, company: str) -> dict[str, Any]:
    """The next event of this kind."""
    while True:
        event = msgspec.json.decode(await websocket.text(), type=dict[str, Any])
        if (event["type"], event["companyId"]) == (kind, company):
            return event


async def test_an_application_of_the_replaced_system_runs_unchanged(
    site: Site, api: Api, loopback: RemoteLoopback, application: Application
) -> None:
    """From the first QR code to the end: link, look, send, receive, be limited, stop, start, log out, forget."""
    await api.wait_connected(CUSTOMER.company)
    await join_whatsapp(loopback, [SHOP])
    async with listening(site) as events:
        await _link(application, loopback, events)
        await _look(application)
        await _write(application, events)
        await _be_refused(application)
    await _come_to_an_end(application)


async def _link(application: Application, loopback: RemoteLoopback, events: WebSocket) -> None:
    offered = await application.link(SHOP.company)
    assert offered["companyId"] == SHOP.company
    assert offered["qrDataUrl"].startswith("data:image/png;base64,")
    assert base64.b64decode(offered["qrDataUrl"].partition(",")[2]).startswith(b"\x89PNG")
    assert "▀" in offered["qrTerminal"] or "█" in offered["qrTerminal"]
    assert isinstance(offered["message"], str)
    assert offered["expiresAt"] > 0
    await loopback.scan(SHOP.phone, offered["qr"])
    await application.wait_connected(SHOP.company)
    assert (await heard(events, "qr", SHOP.company))["payload"]["qr"]
    assert (await heard(events, "connected", SHOP.company))["seq"] > 0
    with pytest.raises(RefusedError) as again:
        await application.link(SHOP.company)
    assert again.value.status == 409


async def _look(application: Application) -> None:
    listed = await application.sessions()
    assert listed["count"] == 2
    (shop,) = [each for each in listed["sessions"] if each["companyId"] == SHOP.company]
    assert (shop["connected"], shop["status"], shop["health"] in {"healthy", "unknown"}) == (True, "connected", True)
    assert set(listed["metrics"]) >= {"totalSessions", "activeConnections", "messagesSent", "messagesReceived"}
    health = await application.health(SHOP.company)
    assert (health["healthy"], health["phoneNumber"].lstrip("+")) == (True, SHOP.phone)
    assert all(health["checks"].values())
    assert set(await application.metrics()) >= OLD_METRICS


async def _write(application: Application, events: WebSocket) -> None:
    before = await application.metrics()
    first = await application.send(SHOP.company, CUSTOMER.phone, "Your order is ready")
    assert first["companyId"] == SHOP.company
    assert first["phone"].lstrip("+") == CUSTOMER.phone
    assert re.fullmatch(r"[0-9A-F]{16,}", first["messageId"])
    assert first["timestamp"] > 1_500_000_000
    event = await heard(events, "message", CUSTOMER.company)
    assert (event["payload"]["messageId"], event["payload"]["text"]) == (first["messageId"], "Your order is ready")
    russian = f"8{CUSTOMER.phone[1:]}"
    quoted = {"messageId": first["messageId"], "text": "Your order is ready"}
    for phone in (f"+{CUSTOMER.phone}", russian, f"{CUSTOMER.phone}@s.whatsapp.net", f"{CUSTOMER.phone}@c.us"):
        sent = await application.send(SHOP.company, phone, "again", quoted)
        assert sent["phone"].lstrip("+") == CUSTOMER.phone
    answer = await application.send(CUSTOMER.company, SHOP.phone, "Thank you")
    assert (await heard(events, "message", SHOP.company))["payload"]["messageId"] == answer["messageId"]
    after = await application.metrics()
    assert after["messagesSent"] - before["messagesSent"] == 6
    assert after["messagesReceived"] > before["messagesReceived"]
    assert after["sessions"] == {"total": 2, "connected": 2, "disconnected": 0}


async def _be_refused(application: Application) -> None:
    for company, phone, message, status in (
        (SHOP.company, "12", "x", 422),
        (SHOP.company, CUSTOMER.phone, "x" * 4097, 422),
        ("nobody", CUSTOMER.phone, "x", 404),
    ):
        with pytest.raises(RefusedError) as refused:
            await application.send(company, phone, message)
        assert (refused.value.status, len(str(refused.value)) > 10) == (status, True)
    await application.send(SHOP.company, CUSTOMER.phone, "the last one allowed")
    with pytest.raises(RefusedError) as limited:
        await application.send(SHOP.company, CUSTOMER.phone, "one too many")
    assert limited.value.status == 429
    assert 0 < limited.value.answer["retryAfter"] <= 600


async def _come_to_an_end(application: Application) -> None:
    stopped = await application.order(SHOP.company, "stop")
    assert (stopped["companyId"], stopped["connected"]) == (SHOP.company, False)
    with pytest.raises(RefusedError) as refused:
        await application.send(SHOP.company, CUSTOMER.phone, "x")
    assert refused.value.status == 409
    await application.order(SHOP.company, "start")
    await application.wait_connected(SHOP.company)
    await application.order(SHOP.company, "restart")
    await application.wait_connected(SHOP.company)
    await application.order(SHOP.company, "logout")
    await application.forget(SHOP.company)
    assert [each["companyId"] for each in (await application.sessions())["sessions"]] == [CUSTOMER.company]


async def test_dashboards_of_the_replaced_system_find_their_metrics(api: Api) -> None:
    """Under the old path and by the old names."""
    answer = await api.call("GET", "/api/whatsapp/metrics/prometheus")
    names = {line.partition("{")[0].partition(" ")[0] for line in answer.text.splitlines() if not line.startswith("#")}

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert set(OLD_NAMES) - names == set()
