"""A real Chromium for the tests of pages: one process per module, a fresh profile per visit, and checks of what a page must never do."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

import pytest
import trio
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

CHROMIUM: Final = shutil.which("chromium")
needs_chromium: Final = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")
SCREENSHOTS: Final = Path(__file__).parents[2] / ".cache" / "screenshots"
WITHIN_MS: Final = 30_000
VISIT_S: Final = 120.0

# Chromium sends requests to its maker's hosts in the background; here only the daemon may get requests.
_ARGUMENTS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip
DESKTOP: Final = {"width": 1440, "height": 900}
PHONE: Final = {"width": 390, "height": 844}

expect.set_options(timeout=WITHIN_MS)

Visit = Callable[[Page], None]


@final
class Chromium:
    """The browser in a thread of its own, since its interface blocks and belongs to one thread."""

    def __init__(self) -> None:
        self._visits: queue.SimpleQueue[tuple[Callable[[Browser], None], Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="chromium", daemon=True)
        self._thread.start()

    async def visit(self, url: str, do: Visit, *, key: str | None = None, expected: str = "", **options: Any) -> None:
        """Run ``do`` with the page at ``url``, signed in with ``key``.

        Afterwards the page must have sent requests only to ``url``, and the console must hold only lines that contain ``expected``:
        the console reports what the content security policy blocks.
        """
        done: Future[None] = Future()

        def run(browser: Browser) -> None:
            with _opened(browser, url, expected, options) as page:
                if key is not None:
                    sign_in(page, key)
                do(page)

        self._visits.put((run, done))
        with trio.fail_after(VISIT_S):
            await trio.to_thread.run_sync(done.result, abandon_on_cancel=True)

    def close(self) -> None:
        """End the browser."""
        self._visits.put(None)
        self._thread.join(timeout=30)

    def _serve(self) -> None:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))
            while (visit := self._visits.get()) is not None:
                run, done = visit
                try:
                    run(browser)
                except BaseException as error:  # noqa: BLE001  # it is the test's, which waits for it
                    done.set_exception(error)
                else:
                    done.set_result(None)
            browser.close()


@pytest.fixture(scope="module")
def chromium() -> Generator[Chromium]:
    """The module's browser."""
    browser = Chromium()
    yield browser
    browser.close()


@contextmanager
def _opened(browser: Browser, url: str, expected: str, options: dict[str, Any]) -> Generator[Page]:
    complaints: list[str] = []
    origin = "/".join(url.split("/")[:3]) + "/"

    def note_request(request: Request) -> None:
        if not request.url.startswith((origin, "data:", "blob:")):
            complaints.append(f"asked {request.url}")

    def note_console(message: ConsoleMessage) -> None:
        if not expected or expected not in message.text:
            complaints.append(f"console: {message.text}")

    context = browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
    try:
        page = context.new_page()
        page.set_default_timeout(WITHIN_MS)
        page.on("console", note_console)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("request", note_request)
        page.goto(url)
        yield page
        assert complaints == [], complaints  # pytest does not spell it out outside of test modules
    finally:
        context.close()


def sign_in(page: Page, key: str) -> None:
    """Type the key in."""
    page.fill("#key", key)
    page.press("#key", "Enter")


def tab_to(page: Page, selector: str, *, backwards: bool = False) -> None:
    """Press Tab until the focus is on what ``selector`` names; a page on which it never gets there fails."""
    for _ in range(100):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Shift+Tab" if backwards else "Tab")
    raise AssertionError(f"the Tab key does not lead to {selector}")


def keep(page: Page, name: str, *, full: bool = False) -> None:
    """Save a screenshot, for people to look at after a run."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full)


def assert_fits(page: Page) -> None:
    """The page fits the window's width: it does not scroll sideways."""
    wide, there = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= there
