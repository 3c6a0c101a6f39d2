"""The recipes of docs/proxies.md, each with the real server in front of a real daemon: what works without a proxy works through it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

import httpx
import msgspec
import pytest
import trio
from playwright.sync_api import Page, expect
from trio_websocket import open_websocket_url

from config.sections import HttpSettings
from config.values import parse_networks
from tests.http.routes.test_static_files import PAGES, References
from tests.http.world import A_KEY, ADMIN_KEY, COMPANY_A, Daemon, running, until
from tests.support.browser import Chromium, chromium, needs_chromium
from tests.support.proxies import PROXIES, Proxy, proxy_before

__all__ = ["chromium"]

SETTINGS: Final = HttpSettings(
    trusted_proxies=parse_networks("127.0.0.1"), drain_timeout_s=0.5, auth_failures_per_minute=3
)
WITHIN_S: Final = 3.0
CLIENT: Final = "127.0.0.2"
MADE_UP: Final = "198.51.100.7"
PNG: Final = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"


@dataclass
class Behind:
    """A daemon behind a proxy."""

    daemon: Daemon
    proxy: Proxy
    client: httpx.AsyncClient
    """A client of the proxy with the admin key."""

    def client_with(self, headers: dict[str, str]) -> httpx.AsyncClient:
        """Another client of the proxy, with an address of its own."""
        transport = httpx.AsyncHTTPTransport(verify=self.proxy.tls, local_address=CLIENT)
        return httpx.AsyncClient(base_url=self.proxy.url, transport=transport, headers=headers, timeout=20)


@pytest.fixture(params=PROXIES)
async def behind(request: pytest.FixtureRequest) -> AsyncGenerator[Behind]:
    """A daemon behind each proxy."""
    async with running(http=SETTINGS) as daemon:
        with proxy_before(request.param, daemon.port) as proxy:
            made = Behind(daemon, proxy, daemon.client)
            async with made.client_with({"Authorization": f"Bearer {ADMIN_KEY}"}) as made.client:
                yield made


async def test_the_pages_find_all_their_parts_in_a_sub_path(behind: Behind) -> None:
    """Pages, what they load, and what their scripts load; the address without its last slash leads to the one with it."""
    async with behind.client_with({}) as client:
        seen: set[str] = set()
        waiting = [f"{behind.proxy.url}{page}" for page in PAGES]
        while waiting:
            url = waiting.pop()
            answer = await client.get(url)
            assert (answer.status_code, url) == (200, url)
            seen.add(url)
            page = References()
            if answer.headers["content-type"].startswith("text/html"):
                page.feed(answer.text)
            imported = re.findall(r'from "([^"]+)"', answer.text) if url.endswith(".js") else []
            found = {urljoin(url, path) for path in (*page.loads, *imported) if path != "data:,"}
            waiting += [url for url in found if url not in seen]
        led = await client.get(behind.proxy.url)

    assert f"{behind.proxy.url}/static/dom.js" in seen
    assert all(url.startswith(f"{behind.proxy.url}/") for url in seen)
    assert (led.status_code, urljoin(behind.proxy.url, led.headers["location"])) == (308, f"{behind.proxy.url}/")


@needs_chromium
@pytest.mark.slow
async def test_the_dashboard_works_in_a_sub_path(behind: Behind, chromium: Chromium) -> None:
    """Signed in, live, and without a request outside the sub-path, where there is nothing."""

    def look(page: Page) -> None:
        expect(page.locator("#sessions tr")).to_have_count(2)
        expect(page.locator("#tree tr[data-path='/companies']")).to_be_visible()
        page.locator("#sessions tr").first.get_by_role("button").first.click()
        expect(page.locator("#company-dialog")).to_be_visible()

    await chromium.visit(f"{behind.proxy.url}/", look, key=ADMIN_KEY, ignore_https_errors=True)


async def test_live_events_pass(behind: Behind) -> None:
    """A WebSocket is opened, with a key and with a ticket, and an event is there when it happens."""
    ticket = (await behind.client.post("/api/whatsapp/events/tickets")).json()["ticket"]
    url = behind.proxy.url.replace("https", "wss") + "/api/whatsapp/events"
    key = [(b"Authorization", f"Bearer {A_KEY}".encode())]
    with trio.fail_after(WITHIN_S):
        async with (
            open_websocket_url(url, behind.proxy.tls, extra_headers=key) as by_key,
            open_websocket_url(f"{url}?ticket={ticket}", behind.proxy.tls) as by_ticket,
        ):
            await until(lambda: behind.daemon.world.hub.subscriptions == 2)
            behind.daemon.world.publish(COMPANY_A, "message", text="hello")
            texts = [msgspec.json.decode(await stream.get_message())["payload"] for stream in (by_key, by_ticket)]

    assert texts == [{"text": "hello"}] * 2


async def test_the_event_stream_is_not_held_back(behind: Behind) -> None:
    """Each piece arrives when it was sent, while the response goes on."""
    request = f"GET /wasup/dashboard/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\r\n"
    stream = await trio.open_ssl_over_tcp_stream("localhost", behind.proxy.port, ssl_context=behind.proxy.tls)
    received = b""
    with trio.fail_after(WITHIN_S):
        async with stream:
            await stream.send_all(request.encode())
            while b"event: log" not in received:
                received += await stream.receive_some()
            behind.daemon.world.publish(COMPANY_A, "message", text="now")
            while b'"text":"now"' not in received:
                received += await stream.receive_some()

    assert received.startswith(b"HTTP/1.1 200 ")


async def test_the_client_is_who_asked_the_proxy(behind: Behind) -> None:
    """The audit log has the address that the proxy saw, whatever a client writes into the header; wrong keys of one do not stop another."""
    async with behind.client_with(
        {"X-Forwarded-For": MADE_UP, "Authorization": "Bearer wrong-0123456789abcdef"}
    ) as guesser:
        codes = [(await guesser.get("/api/whatsapp/sessions")).status_code for _ in range(4)]
    async with behind.client_with({"X-Forwarded-For": MADE_UP, "Authorization": f"Bearer {A_KEY}"}) as client:
        started = await client.post(f"/api/whatsapp/sessions/{COMPANY_A}/start")
    await until(lambda: any(entry.action == "start" for entry in behind.daemon.world.audit))
    [entry] = [entry for entry in behind.daemon.world.audit if entry.action == "start"]

    assert codes == [401, 401, 401, 429]
    assert started.status_code == 200
    assert entry.address == CLIENT


async def test_a_file_passes_whole(behind: Behind) -> None:
    """Three mebibytes, which is more than some proxies take by default."""
    content = PNG + bytes(3 * 1024 * 1024)
    made = await behind.client.post(f"/api/whatsapp/sessions/{COMPANY_A}/media?kind=document", content=content)

    assert (made.status_code, made.json().get("size")) == (201, len(content))


async def test_problems_and_escaped_paths_pass_as_they_are(behind: Behind) -> None:
    """Refusals are the daemon's own, unchanged; an escaped plus arrives as a plus."""
    wrong = await behind.client.get("/api/whatsapp/nowhere")
    number = await behind.client.get(f"/api/whatsapp/sessions/{COMPANY_A}/contacts/%2B79000000001")

    assert (wrong.status_code, wrong.json()["code"]) == (404, "not_found")
    assert (number.status_code, number.json().get("phone")) == (200, "+79000000001")
