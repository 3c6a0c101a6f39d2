"""The page at `/` in a real browser: what an operator does there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

import pytest
import trio
from playwright.sync_api import Page, Request, expect, sync_playwright

from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.site import Plan, Site, User

A, B, NEW = (User(number) for number in range(1, 4))
PLAN = Plan(companies=(A, B), others=(NEW,))

CHROMIUM: Final = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")

# Chromium asks hosts of its maker in the background; here nothing but the daemon may be asked.
ARGUMENTS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
WITHIN_MS: Final = 20_000


@contextmanager
def open_page(site: Site) -> Generator[Page]:
    """The dashboard with the admin key typed in. Nothing but the daemon was asked for, and the console stayed empty."""
    complaints: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith((site.daemon.url, "data:", "blob:")):
            complaints.append(request.url)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = browser.new_page()
        page.set_default_timeout(WITHIN_MS)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", note)
        page.goto(site.daemon.url)
        page.fill("#key", site.daemon.key)
        page.press("#key", "Enter")
        yield page
        browser.close()
    assert complaints == []


async def in_browser(site: Site, do: Callable[[Page], None]) -> None:
    """Run ``do`` with the page, in a thread of its own: the browser's interface is a blocking one."""

    def run() -> None:
        with open_page(site) as page:
            do(page)

    with trio.fail_after(90):
        await trio.to_thread.run_sync(run)


async def test_sessions_and_the_actor_tree_are_shown(site: Site) -> None:
    """Both companies connected, and every actor of the tree."""

    def look(page: Page) -> None:
        expect(page.locator("#sessions tr")).to_have_count(2, timeout=WITHIN_MS)
        expect(page.locator("#sessions")).to_contain_text("connected")
        for path in ("/storage", "/engines/engine-0", f"/companies/{A.company}", "/http"):
            expect(page.locator("#tree")).to_contain_text(path)

    await in_browser(site, look)


async def test_a_company_is_linked_from_the_page(site: Site, api: Api, loopback: RemoteLoopback) -> None:
    """The QR appears; once the phone has scanned it, the page says connected."""

    def link(page: Page) -> None:
        page.fill("#company", NEW.company)
        page.click("#link-form button[type=submit]")
        expect(page.locator("#link-qr")).to_be_visible(timeout=WITHIN_MS)
        expect(page.locator("#link-state")).to_contain_text("connected", timeout=WITHIN_MS)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(in_browser, site, link)
        shown = await eventually("the QR event", lambda: api.events(company=NEW.company, kind="qr"), within=30)
        await loopback.scan(NEW.phone, shown[-1]["payload"]["qr"])


async def test_a_message_is_sent_from_the_page(site: Site, api: Api) -> None:
    """It arrives at the other company."""

    def send(page: Page) -> None:
        page.fill("#send-company", A.company)
        page.fill("#send-phone", f"+{B.phone}")
        page.fill("#send-text", "from the page")
        page.press("#send-text", "Enter")
        expect(page.locator("#send-state")).to_contain_text("sent", ignore_case=True, timeout=WITHIN_MS)

    await in_browser(site, send)
    await api.event(B.company, "message", where=lambda payload: payload["text"] == "from the page")


async def test_a_wrong_key_shows_nothing(site: Site) -> None:
    """The page says that the key is wrong, and no section opens."""

    def look(page: Page) -> None:
        page.click("#forget-key")
        expect(page.locator("#sessions-section")).to_be_hidden()

    await in_browser(site, look)
