"""The page at `/` in a real browser, over a real daemon: what an operator does there."""

from __future__ import annotations

import re
from typing import Any, Final

import trio
from playwright.sync_api import Page, expect

from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.browser import (
    PHONE,
    Chromium,
    Visit,
    assert_fits,
    chromium,
    keep,
    needs_chromium,
    sign_in,
    tab_to,
)
from tests.support.site import Plan, Site, User

__all__ = ["chromium"]

A, B, BY_QR, BY_CODE = (User(number) for number in range(1, 5))
PLAN = Plan(companies=(A, B), others=(BY_QR, BY_CODE), settings={"WASUP_HTTP_DASHBOARD_INTERVAL_S": "0.2"})
pytestmark = needs_chromium

RECORD_CONNECTION: Final = """
new MutationObserver(() => {
  document.body.dataset.said = `${document.body.dataset.said ?? ""} ${document.getElementById("connection").textContent}`;
}).observe(document.getElementById("connection"), { childList: true, characterData: true, subtree: true });
"""


async def visit(chromium: Chromium, site: Site, do: Visit, **options: Any) -> None:
    """Open the dashboard with the admin key typed in."""
    await chromium.visit(site.daemon.url, do, key=site.daemon.key, **options)


async def test_the_daemon_is_shown(site: Site, chromium: Chromium) -> None:
    """Facts, both companies with the age of their evidence, every actor, and earlier events."""

    def look(page: Page) -> None:
        expect(page.locator("#connection")).to_have_text("Live")
        expect(page.locator("#facts")).to_contain_text("embedded, takes writes")
        expect(page.locator("#facts")).to_contain_text("counted in memory")
        expect(page.locator("#facts")).to_contain_text("MiB")
        for user in (A, B):
            row = page.locator(f"#sessions tr[data-company='{user.company}']")
            expect(row.locator(".state.connected")).to_be_visible()
            expect(row).to_contain_text(f"+{user.phone}")
        for path in ("/storage", "/engines/engine-0", f"/companies/{A.company}", "/http"):
            expect(page.locator(f"#tree tr[data-path='{path}'] .state.running")).to_be_visible()
        expect(page.locator("#events .kind.good").first).to_be_visible()
        assert_fits(page)
        keep(page, "desktop-light")

    await visit(chromium, site, look)


async def test_it_is_good_on_a_phone_in_the_dark(site: Site, chromium: Chromium) -> None:
    """Everything is there, the page does not scroll sideways, and the dark colours are dark."""

    def look(page: Page) -> None:
        expect(page.locator("#sessions tr")).to_have_count(2)
        expect(page.locator(f"#tree tr[data-path='/companies/{A.company}']")).to_be_visible()
        assert_fits(page)
        red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert max(red, green, blue) < 40
        keep(page, "phone-dark", full=True)
        page.locator("#sessions button.open").first.click()
        expect(page.locator("#company-dialog")).to_be_visible()
        assert_fits(page)
        keep(page, "phone-dark-company")

    await visit(chromium, site, look, viewport=PHONE, color_scheme="dark")


async def test_a_company_is_linked_by_qr(site: Site, chromium: Chromium, api: Api, loopback: RemoteLoopback) -> None:
    """The QR appears; once the phone has scanned it, the page says connected and lists the company."""
    is_shown, token = trio.Event(), trio.lowlevel.current_trio_token()

    def link(page: Page) -> None:
        page.click("#open-link")
        page.fill("#company", BY_QR.company)
        page.press("#company", "Enter")
        expect(page.locator("#link-qr")).to_be_visible()
        keep(page, "link-qr")
        trio.from_thread.run_sync(is_shown.set, trio_token=token)
        expect(page.locator("#link-state")).to_have_text(f"{BY_QR.company} is linked and connected.")
        expect(page.locator("#link-qr")).to_be_hidden()
        page.keyboard.press("Escape")
        expect(page.locator(f"#sessions tr[data-company='{BY_QR.company}'] .state.connected")).to_be_visible()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(visit, chromium, site, link)
        with trio.fail_after(60):
            await is_shown.wait()
        offered = await api.events(company=BY_QR.company, kind="qr")
        await loopback.scan(BY_QR.phone, offered[-1]["payload"]["qr"])


async def test_a_company_is_linked_by_code(site: Site, chromium: Chromium, api: Api, loopback: RemoteLoopback) -> None:
    """The phone accepts the code on the page."""
    codes: list[str] = []
    is_shown, token = trio.Event(), trio.lowlevel.current_trio_token()

    def link(page: Page) -> None:
        page.click("#open-link")
        page.fill("#company", BY_CODE.company)
        page.check("#method-code")
        page.fill("#phone", f"+{BY_CODE.phone}")
        page.press("#phone", "Enter")
        expect(page.locator("#link-code")).to_be_visible()
        codes.append(page.locator("#link-code").inner_text().replace(" ", ""))
        trio.from_thread.run_sync(is_shown.set, trio_token=token)
        expect(page.locator("#link-state")).to_have_text(f"{BY_CODE.company} is linked and connected.")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(visit, chromium, site, link)
        with trio.fail_after(60):
            await is_shown.wait()
        await loopback.confirm_code(BY_CODE.phone, codes[0])


async def test_a_message_is_sent_from_the_page(site: Site, chromium: Chromium, api: Api) -> None:
    """It arrives at the other company, and the page shows both events."""

    def send(page: Page) -> None:
        page.click("#open-send")
        page.fill("#send-company", A.company)
        page.fill("#send-phone", f"+{B.phone}")
        page.fill("#send-text", "from the page")
        page.click("#send-start")
        expect(page.locator("#send-state")).to_contain_text("WhatsApp has it as")
        page.keyboard.press("Escape")
        page.fill("#events-filter", "message")
        expect(page.locator("#events li").first).to_contain_text(B.company)
        page.locator("#events summary").first.click()
        expect(page.locator("#events pre").first).to_contain_text("from the page")

    await visit(chromium, site, send)
    await api.event(B.company, "message", where=lambda payload: payload["text"] == "from the page")


async def test_an_actor_is_killed_with_the_keyboard_alone(site: Site, chromium: Chromium, api: Api) -> None:
    """From the tree's root to a company by arrows; the question is answered by keys; it comes back, with its crash and its event."""
    path = f"/companies/{A.company}"

    def kill(page: Page) -> None:
        expect(page.locator(f"#tree tr[data-path='{path}']")).to_be_visible()
        tab_to(page, "#tree tr")
        page.keyboard.press("End")
        page.keyboard.press("Home")
        for _ in range(60):
            if page.evaluate("document.activeElement.dataset.path") == path:
                break
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.locator("#actor-title")).to_have_text(path)
        tab_to(page, "[data-order=kill]")
        page.keyboard.press("Enter")
        expect(page.locator("#confirm-no")).to_be_focused()
        keep(page, "confirm")
        tab_to(page, "#confirm-yes")
        page.keyboard.press("Enter")
        expect(page.locator("#notice")).to_contain_text("was killed")
        expect(page.locator("#actor-body")).to_contain_text("killed by an operator")
        expect(page.locator("#actor-body .state")).to_have_class("state running")
        keep(page, "actor-after-kill")
        page.keyboard.press("Escape")
        expect(page.locator("#actor-dialog")).to_be_hidden()
        assert page.evaluate("document.activeElement.dataset.path") == path
        expect(page.locator(f"#tree tr[data-path='{path}'] .some")).to_have_text("1")
        restarted = page.locator("#events li", has_text="restarted").filter(has_text=A.company)
        expect(restarted.first).to_be_visible()
        expect(page.locator(f"#sessions tr[data-company='{A.company}'] .state.connected")).to_be_visible()

    await visit(chromium, site, kill)
    assert (await api.actor(path))["restarts"] == 1


async def test_a_cancelled_question_does_nothing(site: Site, chromium: Chromium, api: Api) -> None:
    """Escape and Cancel both mean no."""
    path = "/janitor"
    before = (await api.actor(path))["restarts"]

    def change_ones_mind(page: Page) -> None:
        page.click(f"#tree tr[data-path='{path}']")
        for answer in ("Escape", "Enter"):  # Cancel has the focus
            page.click("[data-order=kill]")
            expect(page.locator("#confirm-dialog")).to_be_visible()
            page.keyboard.press(answer)
            expect(page.locator("#confirm-dialog")).to_be_hidden()
        expect(page.locator("#notice")).to_be_hidden()

    await visit(chromium, site, change_ones_mind)
    assert (await api.actor(path))["restarts"] == before


async def test_an_actor_is_suspended_and_resumed(site: Site, chromium: Chromium, api: Api) -> None:
    """The state changes in the tree by itself, and the button turns into its opposite."""
    path = "/janitor"

    def suspend(page: Page) -> None:
        page.click(f"#tree tr[data-path='{path}']")
        page.click("[data-order=suspend]")
        page.click("#confirm-yes")
        expect(page.locator("#actor-body .state")).to_have_class("state suspended")
        expect(page.locator(f"#tree tr[data-path='{path}'] .state")).to_have_text("suspended")
        page.click("[data-order=resume]")
        expect(page.locator(f"#tree tr[data-path='{path}'] .state")).to_have_text("running")
        expect(page.locator("[data-order=suspend]")).to_be_visible()

    await visit(chromium, site, suspend)
    assert (await api.actor(path))["state"] == "running"


async def test_a_company_is_stopped_and_started(site: Site, chromium: Chromium) -> None:
    """From its sheet; the sheet and the table follow."""

    def stop(page: Page) -> None:
        row = page.locator(f"#sessions tr[data-company='{B.company}']")
        row.locator("button.open").click()
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(page.locator("#company-body .state")).to_have_text("stopped")
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator("#company-body .state")).to_have_text("connected")
        keep(page, "company")
        page.keyboard.press("Escape")
        expect(row.locator(".state")).to_have_class("state connected")

    await visit(chromium, site, stop)


async def test_the_page_comes_back_when_http_was_restarted(site: Site, chromium: Chromium, api: Api) -> None:
    """It says that it is reconnecting, goes on by itself, and shows what happened meanwhile."""

    def restart(page: Page) -> None:
        expect(page.locator("#connection")).to_have_text("Live")
        page.evaluate(RECORD_CONNECTION)
        page.click("#tree tr[data-path='/http']")
        page.click("[data-order=restart]")
        page.click("#confirm-yes")
        expect(page.locator("body")).to_have_attribute("data-said", re.compile("Reconnecting.*Live$", re.DOTALL))
        page.keyboard.press("Escape")
        expect(page.locator("#tree tr[data-path='/http'] .state")).to_have_text("running")
        expect(page.locator("#sessions tr[data-company]").first).to_be_visible()

    await visit(chromium, site, restart, expected="net::ERR_")


async def test_the_api_is_described_on_a_phone_too(site: Site, chromium: Chromium) -> None:
    """Every call with its bodies, answers, an example and its errors, without a key; each link of the page leads somewhere."""
    lost = """[...document.querySelectorAll("a")].filter((a) => a.hash && a.pathname === location.pathname)
      .filter((a) => !document.getElementById(a.hash.slice(1))).map((a) => a.hash)"""

    def look(page: Page) -> None:
        upload, send = page.locator("#uploadMedia"), page.locator("#sendMessage")
        expect(upload).to_contain_text("Body: multipart/form-data")
        expect(upload).to_contain_text('"mediaId"')
        expect(send).to_contain_text('"message": "Hello"')
        send.get_by_role("link", name="rate_limited").click()
        expect(page.locator("tr#rate_limited")).to_be_in_viewport()
        page.go_back()
        page.get_by_role("link", name="SendOptions").first.click()
        expect(page.locator("#type-SendOptions")).to_be_in_viewport()
        assert page.evaluate(lost) == []
        assert_fits(page)
        keep(page, "phone-docs")

    await chromium.visit(f"{site.daemon.url}/docs", look, viewport=PHONE)


async def test_a_wrong_key_shows_nothing(site: Site, chromium: Chromium) -> None:
    """The page says that the key is wrong; the right one opens it; signing out forgets it."""

    def look(page: Page) -> None:
        expect(page.locator("#key-error")).to_have_text("This key is not valid.")
        expect(page.locator("#dashboard")).to_be_hidden()
        sign_in(page, site.daemon.key)
        expect(page.locator("#sessions tr").first).to_be_visible()
        assert page.evaluate("JSON.stringify([location.href, Object.keys(localStorage), document.cookie])") == (
            f'["{site.daemon.url}/",[],""]'
        )
        page.click("#forget-key")
        expect(page.locator("#dashboard")).to_be_hidden()
        assert page.evaluate("sessionStorage.length") == 0
        assert page.locator("#sessions tr").count() == 0

    await chromium.visit(site.daemon.url, look, key="wasup_wrong_" + "0" * 40, expected="401")
