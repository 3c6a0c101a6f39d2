"""The dashboard in a real browser, over worlds into which a real daemon cannot be brought within seconds."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator
from importlib.resources import files
from typing import Any, Final

import pytest
import trio
from playwright.sync_api import Page, expect

from actors import messages as m
from actors.http.dashboard import stream as streaming
from actors.http.routes.events import EVENT_TYPES
from config.sections import HttpSettings
from supervisor import BRUTAL_KILL, Actor, ChildSpec
from tests.http.fakes import Company
from tests.http.world import A_KEY, ADMIN_KEY, COMPANY_A, COMPANY_B, Daemon, running, sample_world
from tests.support.browser import PHONE, Chromium, Visit, assert_fits, chromium, keep, needs_chromium

__all__ = ["chromium"]

pytestmark = [needs_chromium, pytest.mark.slow]
FAST: Final = HttpSettings(dashboard_interval_s=0.1, drain_timeout_s=0.5)
LONGEST: Final = "W" * 64
MARKUP: Final = "<img src=x onerror=alert(1)>"


@pytest.fixture
async def quick() -> AsyncGenerator[Daemon]:
    """A daemon whose pages get an update ten times a second."""
    async with running(http=FAST) as daemon:
        yield daemon


async def visit(chromium: Chromium, daemon: Daemon, do: Visit, *, key: str = ADMIN_KEY, **options: Any) -> None:
    """The dashboard, signed in."""
    await chromium.visit(daemon.url, do, key=key, **options)


async def test_a_thousand_companies_stay_usable(chromium: Chromium) -> None:
    """They are folded and paged; a filter finds one of them; a change of one rewrites one row."""
    world = sample_world()
    world.companies |= {str(number): Company(str(number)) for number in range(100_000, 101_000)}
    async with running(world, HttpSettings(dashboard_interval_s=0.5)) as daemon:
        token = trio.lowlevel.current_trio_token()

        def kill() -> None:
            trio.from_thread.run_sync(daemon.system.kill, "/companies/100500", "for the test", trio_token=token)

        def look(page: Page) -> None:
            expect(page.locator("#sessions-count")).to_have_text("1,002 companies")
            expect(page.locator("#sessions tr")).to_have_count(25)
            companies = page.locator("#tree tr[data-path='/companies']")
            expect(companies).to_contain_text("1,002 inside")
            expect(companies).to_have_attribute("aria-expanded", "false")
            keep(page, "thousand")
            companies.focus()
            page.keyboard.press("ArrowRight")
            expect(page.locator("#tree tr[aria-level='3']")).to_have_count(101)
            expect(page.locator("#tree tr.more")).to_have_text("Show 100 more of 902")
            page.locator("#tree tr.more").click()
            expect(page.locator("#tree tr[aria-level='3']")).to_have_count(201)
            page.fill("#tree-filter", "100500")
            row = page.locator("#tree tr[data-path='/companies/100500']")
            expect(row).to_be_visible()
            expect(page.locator("#tree tr")).to_have_count(3)
            page.fill("#sessions-filter", "100500")
            expect(page.locator("#sessions tr")).to_have_count(1)
            page.fill("#tree-filter", "")
            expect(page.locator("#tree tr[aria-level='3']")).to_have_count(201)
            page.click("#tree-trouble")
            expect(page.locator("#tree-empty")).to_be_visible()
            kill()
            expect(row.locator(".some")).to_have_text("1")
            expect(page.locator("#tree tr")).to_have_count(3)

        await visit(chromium, daemon, look)


async def test_only_rows_that_changed_are_touched(quick: Daemon, chromium: Chromium) -> None:
    """The browser itself reports which rows were written while one actor was killed: only those with a change."""
    path = f"/companies/{COMPANY_A}"
    token = trio.lowlevel.current_trio_token()

    def look(page: Page) -> None:
        expect(page.locator(f"#tree tr[data-path='{path}']")).to_be_visible()
        page.evaluate(
            """() => {
              const touched = window.touched = new Set();
              const rowOf = (node) => (node.nodeType === 1 ? node : node.parentElement)?.closest("tr")?.dataset.path;
              const note = (records) => records.forEach((record) => touched.add(rowOf(record.target)));
              new MutationObserver(note).observe(
                document.getElementById("tree"), { childList: true, characterData: true, attributes: true, subtree: true });
            }"""
        )
        trio.from_thread.run_sync(quick.system.kill, path, "for the test", trio_token=token)
        expect(page.locator(f"#tree tr[data-path='{path}'] .some")).to_have_text("1")
        touched = page.evaluate("[...touched]")
        assert path in touched
        assert not {"/", "/companies", "/limiter"} & set(touched)

    await visit(chromium, quick, look)


async def test_the_qr_code_renews_itself(quick: Daemon, chromium: Chromium) -> None:
    """A new code is on offer: the picture changes without a touch; then the phone answers, and it is gone."""
    company = Company("777001", m.CompanyState.UNLINKED)
    token = trio.lowlevel.current_trio_token()

    def offer_next() -> None:
        assert quick.world.companies["777001"].offer is not None
        quick.world.companies["777001"].offer = m.Offer(
            company_id="777001", method="qr", qr="2@" + "B" * 230, expires_at=time.time() + 20
        )
        quick.world.publish("777001", "qr", qr="2@B")

    def connect() -> None:
        quick.world.companies["777001"].state = m.CompanyState.CONNECTED
        quick.world.publish("777001", "status", status="connected", previous="connecting", reason="logged in")

    def look(page: Page) -> None:
        page.click("#open-link")
        page.fill("#company", company.company_id)
        page.click("#link-start")
        expect(page.locator("#link-qr")).to_be_visible()
        first = page.locator("#link-qr").get_attribute("src")
        expect(page.locator("#link-state")).to_contain_text("good for")
        trio.from_thread.run_sync(offer_next, trio_token=token)
        expect(page.locator("#link-qr")).not_to_have_attribute("src", first or "")
        expect(page.locator("#link-qr")).to_be_visible()
        trio.from_thread.run_sync(connect, trio_token=token)
        expect(page.locator("#link-state")).to_have_text("777001 is linked and connected.")
        expect(page.locator("#link-qr")).to_be_hidden()

    await visit(chromium, quick, look)


async def test_a_click_anywhere_in_a_row_opens_its_company(quick: Daemon, chromium: Chromium) -> None:
    """Not only its name."""

    def look(page: Page) -> None:
        page.locator(f"#sessions tr[data-company='{COMPANY_A}'] td").nth(1).click()
        expect(page.locator("#company-title")).to_have_text(COMPANY_A)

    await visit(chromium, quick, look)


async def test_a_company_is_deleted_after_a_question(quick: Daemon, chromium: Chromium) -> None:
    """Cancel keeps it; Delete removes it from the list."""

    def look(page: Page) -> None:
        row = page.locator(f"#sessions tr[data-company='{COMPANY_B}']")
        row.click()
        page.get_by_role("button", name="Delete…").click()
        page.get_by_role("button", name="Cancel").click()
        expect(row).to_have_count(1)
        page.get_by_role("button", name="Delete…").click()
        keep(page, "delete")
        page.locator("#confirm-yes").click()
        expect(row).to_have_count(0)
        expect(page.locator("#notice-text")).to_contain_text(f"{COMPANY_B} is deleted")

    await visit(chromium, quick, look)


async def test_a_webhook_that_is_suspended_does_not_look_well(quick: Daemon, chromium: Chromium) -> None:
    """Its actor runs and delivers nothing: it shows the colour and the word of a company in that state, and counts as trouble."""
    path = "/limiter"  # stands for a webhook's actor, of which this tree has none
    quick.metrics.set_remarks("webhooks", lambda: {path: "suspended"})

    def look(page: Page) -> None:
        page.click("#tree-trouble")
        state = page.locator(f"#tree tr[data-path='{path}'] .state")
        expect(state).to_have_text("suspended")
        expect(state).to_have_class("state suspended")

    await visit(chromium, quick, look)


class Waiting(Actor):
    """Handles its first message for as long as the test lasts."""

    async def receive(self, message: object) -> None:
        await trio.sleep_forever()


async def test_what_waits_is_told_apart_from_how_long(quick: Daemon, chromium: Chromium) -> None:
    """A number of messages and an age, with words between them."""
    slow = await quick.system.supervisor("/companies").start_child(
        ChildSpec("slow", lambda _: Waiting(), shutdown=BRUTAL_KILL)
    )
    for _ in range(3):
        slow.tell("anything")

    def look(page: Page) -> None:
        page.fill("#tree-filter", "slow")
        cell = page.locator("#tree tr[data-path='/companies/slow'] .mailbox")
        expect(cell).to_contain_text(re.compile(r"^2 waiting, the oldest for [0-9]+ s$"))
        keep(page, "mailbox")

    await visit(chromium, quick, look)


async def test_the_events_filter_asks_the_daemon(quick: Daemon, chromium: Chromium) -> None:
    """Events of a quiet company from long before the page's own are found, by company, by type, and by both."""
    quick.world.publish(COMPANY_A, "logout", reason="unlinked on the phone")
    for number in range(700):
        quick.world.publish(COMPANY_B, "receipt", number=number)

    def look(page: Page) -> None:
        expect(page.locator("#events li")).to_have_count(50)
        for text in (COMPANY_A, "logout", f"{COMPANY_A} logout"):
            page.fill("#events-filter", text)
            expect(page.locator("#events li")).to_have_count(1)
            expect(page.locator("#events li")).to_contain_text("unlinked on the phone")
        page.fill("#events-filter", "receipt")
        expect(page.locator("#events li")).to_have_count(150)
        page.fill("#events-filter", f"{COMPANY_B} logout")
        expect(page.locator("#events-empty")).to_have_text("No event fits the filter.")

    await visit(chromium, quick, look)


def test_the_page_knows_every_type_of_event() -> None:
    """A word that is no type is taken for a company."""
    script = files("actors.http").joinpath("static", "events.js").read_text()
    listed = re.search(r"export const TYPES = \[(.*?)\];", script, re.DOTALL)
    assert listed is not None
    assert set(re.findall(r'"(\w+)"', listed[1])) == EVENT_TYPES


class CrashesWithMarkup(Actor):
    """Crashes with a text that a page would run as a script if it took it for markup."""

    async def receive(self, message: Any) -> Any:
        raise RuntimeError(MARKUP)


async def test_text_stays_text(quick: Daemon, chromium: Chromium) -> None:
    """A crash's message, a reason, an event: text that looks like markup is shown, not run."""
    ref = await quick.system.supervisor("/companies").start_child(ChildSpec("markup", lambda _: CrashesWithMarkup()))
    ref.tell("go")
    quick.world.publish(COMPANY_A, "error", code=MARKUP)

    def look(page: Page) -> None:
        page.click("#tree tr[data-path='/companies/markup']")
        expect(page.locator("#actor-body .crash-text")).to_have_text(f"RuntimeError: {MARKUP}")
        page.keyboard.press("Escape")
        expect(page.locator("#events .told").first).to_have_text(MARKUP)
        assert page.locator("main img").count() == 0

    await visit(chromium, quick, look)


async def test_a_phone_shows_the_longest_names(chromium: Chromium) -> None:
    """64 characters without a break: the page does not scroll sideways, in no dialog either."""
    world = sample_world()
    world.companies[LONGEST] = Company(LONGEST, m.CompanyState.RECONNECTING)
    async with running(world, FAST) as daemon:

        def look(page: Page) -> None:
            expect(page.locator(f"#tree tr[data-path='/companies/{LONGEST}']")).to_be_visible()
            expect(page.locator("#sessions tr")).to_have_count(3)
            assert_fits(page)
            keep(page, "phone-longest-names", full=True)
            page.click(f"#sessions tr[data-company='{LONGEST}'] button")
            expect(page.locator("#company-dialog")).to_be_visible()
            assert_fits(page)
            page.keyboard.press("Escape")
            page.click(f"#tree tr[data-path='/companies/{LONGEST}']")
            page.click("[data-order=kill]")
            expect(page.locator("#confirm-dialog")).to_be_visible()
            assert_fits(page)

        await visit(chromium, daemon, look, viewport=PHONE)


async def test_trouble_comes_first_and_a_chip_shows_nothing_else(quick: Daemon, chromium: Chromium) -> None:
    """A company in trouble is above the connected ones; a state's chip filters."""
    quick.world.companies[COMPANY_B].state = m.CompanyState.BANNED

    def look(page: Page) -> None:
        expect(page.locator("#sessions tr").first).to_have_attribute("data-company", COMPANY_B)
        page.get_by_role("button", name="connected 1").click()
        expect(page.locator("#sessions tr")).to_have_count(1)
        expect(page.locator("#sessions tr")).to_have_attribute("data-company", COMPANY_A)
        page.get_by_role("button", name="connected 1").click()
        expect(page.locator("#sessions tr")).to_have_count(2)

    await visit(chromium, quick, look)


async def test_a_key_of_one_company_is_shown_that_one(quick: Daemon, chromium: Chromium) -> None:
    """No tree, no facts, no button that leads to an actor."""

    def look(page: Page) -> None:
        expect(page.locator("#sessions tr")).to_have_count(1)
        expect(page.locator("#sessions-count")).to_have_text("1 company")
        expect(page.locator("#tree-section")).to_be_hidden()
        expect(page.locator("#facts")).to_be_hidden()
        page.click("#sessions button.open")
        expect(page.locator("#company-actions")).not_to_contain_text("Actor")

    await visit(chromium, quick, look, key=A_KEY)


async def test_a_new_installation_says_how_to_begin(chromium: Chromium) -> None:
    """An empty table shows a text."""
    world = sample_world()
    world.companies.clear()
    async with running(world, FAST) as daemon:

        def look(page: Page) -> None:
            expect(page.locator("#sessions-empty")).to_contain_text("Link the first one")
            expect(page.locator("#events-empty")).to_contain_text("No events yet")
            keep(page, "empty")

        await visit(chromium, daemon, look)


async def test_without_postgres_the_page_says_so_and_goes_on(
    quick: Daemon, chromium: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event log is away and comes back; the tree is there all the time."""
    monkeypatch.setattr(streaming, "AGAIN_S", 0.1)
    token = trio.lowlevel.current_trio_token()

    def set_away(is_away: bool) -> None:
        quick.world.storage_is_away = is_away
        quick.world.ready = not is_away
        quick.system.kill("/events")

    def look(page: Page) -> None:
        expect(page.locator("#sessions tr")).to_have_count(2)
        trio.from_thread.run_sync(set_away, True, trio_token=token)
        expect(page.locator("#events-state")).to_contain_text("The event log is away")
        expect(page.locator("#facts .bad")).to_contain_text("takes no writes")
        expect(page.locator("#tree tr[data-path='/events'] .some")).to_have_text("1")
        trio.from_thread.run_sync(set_away, False, trio_token=token)
        expect(page.locator("#events-state")).to_be_hidden()
        expect(page.locator("#facts")).to_contain_text("takes writes")

    await visit(chromium, quick, look)


async def test_a_revoked_key_signs_out(quick: Daemon, chromium: Chromium) -> None:
    """The stream ends, coming back is refused, and nothing stays on the screen."""
    token = trio.lowlevel.current_trio_token()

    def look(page: Page) -> None:
        expect(page.locator("#sessions tr")).to_have_count(2)
        page.click("#sessions button.open >> nth=0")
        trio.from_thread.run_sync(quick.world.revoke, ADMIN_KEY, trio_token=token)
        expect(page.locator("#key-error")).to_have_text("This key is not valid.")
        expect(page.locator("#company-dialog")).to_be_hidden()
        expect(page.locator("#dashboard")).to_be_hidden()

    await visit(chromium, quick, look, expected="401")


@pytest.mark.parametrize("path", ["/docs", "/docs/errors"])
async def test_the_other_pages_fit_and_break_no_rule(quick: Daemon, chromium: Chromium, path: str) -> None:
    """On a phone: no sideways scrolling, nothing in the console, no request to another host."""

    def look(page: Page) -> None:
        expect(page.locator("main")).to_contain_text("access_denied" if path.endswith("errors") else "initialize")
        assert_fits(page)
        keep(page, path.strip("/").replace("/", "-"))

    await chromium.visit(f"{quick.url}{path}", look, viewport=PHONE)
