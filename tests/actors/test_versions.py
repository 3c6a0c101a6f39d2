"""Which version is announced, and the decisions when WhatsApp refuses it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.engine.protocol.versions import LIBRARY_ANNOUNCES
from actors.versions.actor import VersionsActor
from actors.versions.lookup import LookUpFailed
from actors.versions.state import VersionState
from config.sections import WhatsAppSettings
from storage.errors import StorageUnavailable
from storage.tables.whatsapp_version import Remembered
from supervisor import ChildSpec, SupervisorSpec, System, open_system

NEWER, NEWEST = "2.3000.1050000000", "2.3000.1051000000"
NOW = 1_800_000_000.0


def state(setting: str = "auto") -> VersionState:
    return VersionState(setting, lambda: NOW)


class Memory:
    """What Postgres remembers; ``is_away`` while it does not answer."""

    def __init__(self, remembered: Remembered | None = None, *, is_away: bool = False) -> None:
        self.remembered = remembered
        self.is_away = is_away

    async def recall(self) -> Remembered | None:
        self._answer()
        return self.remembered

    async def remember(self, version: str) -> None:
        self._answer()
        self.remembered = Remembered(version, NOW, NOW)

    def _answer(self) -> None:
        if self.is_away:
            raise StorageUnavailable("away")


class Page:
    """What the page names; None: it cannot be read."""

    def __init__(self, version: str | None) -> None:
        self.version = version
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        if self.version is None:
            raise LookUpFailed("the page names no revision")
        return self.version


def tree(versions: VersionState, page: Page, memory: Memory) -> SupervisorSpec:
    def make(_: object) -> VersionsActor:
        return VersionsActor(
            versions,
            settings=WhatsAppSettings(version_interval_s=3600.0),
            ask=page,
            memory=memory,
            wall_clock=lambda: NOW,
        )

    return SupervisorSpec([ChildSpec(id="versions", start=make)])


@pytest.mark.parametrize("version", ["2.3000.1000000000", "2.3000.1999999999"])
def test_a_number_that_cannot_be_is_not_believed(version: str) -> None:
    """One that goes backward, or jumps absurdly, changes nothing."""
    versions = state()

    assert versions.found(version)
    assert versions.newest.text == LIBRARY_ANNOUNCES


def test_a_refused_version_falls_back_to_the_one_before_once() -> None:
    """The newest is refused: the one before; that too: exhausted, until a try succeeds."""
    versions = state()
    versions.found(NEWER)
    versions.settle(renew_after_s=0.0)
    versions.refused(NEWER)
    versions.settle(renew_after_s=0.0)
    before = versions.current.text
    versions.refused(before)
    versions.settle(renew_after_s=0.0)
    exhausted = versions.is_exhausted
    versions.accepted(before)

    assert (before, exhausted, versions.is_exhausted) == (LIBRARY_ANNOUNCES, True, False)


def test_a_refusal_of_what_is_no_longer_announced_changes_nothing() -> None:
    """Engines of an earlier version still run."""
    versions = state()
    versions.found(NEWER)
    versions.settle(renew_after_s=0.0)
    versions.refused(LIBRARY_ANNOUNCES)

    assert not versions.doubted.is_set()
    assert versions.refusals == 1


@pytest.mark.parametrize("setting", ["library", NEWER])
def test_what_an_operator_set_is_not_replaced(setting: str) -> None:
    """It is exhausted as soon as it is refused."""
    versions = state(setting)
    before = versions.current.text
    versions.refused(before)

    assert versions.is_exhausted
    assert versions.current.text == before


def test_what_cannot_be_written_is_the_librarys_own() -> None:
    """An engine that could not write its library's memory announces that version, and so do all."""
    versions = state(NEWER)
    versions.cannot_change("the library's data holds 2 versions where one was expected")

    assert versions.current.text == LIBRARY_ANNOUNCES


async def test_a_start_asks_and_remembers(autojump_clock: MockClock) -> None:
    """With nothing remembered the page is read before anything else starts."""
    versions, page, memory = state(), Page(NEWER), Memory()
    async with open_system(tree(versions, page, memory)):
        assert versions.current.text == NEWER
    assert memory.remembered is not None
    assert memory.remembered.version == NEWER


async def test_what_is_remembered_of_today_is_not_asked_for(autojump_clock: MockClock) -> None:
    """A restart uses it; the page is read when its time has come, and its version is not used before it is needed."""
    versions, page = state(), Page(NEWEST)
    async with open_system(tree(versions, page, Memory(Remembered(NEWER, NOW - 86_400.0, NOW)))):
        asked, used = page.asked, versions.current.text
        await trio.sleep(3601.0)

        assert (asked, used) == (0, NEWER)
        assert (page.asked, versions.newest.text, versions.current.text) == (1, NEWEST, NEWER)


@pytest.mark.parametrize("memory", [Memory(), Memory(is_away=True), Memory(Remembered("2.3000.1999999999", NOW, NOW))])
async def test_without_an_answer_the_librarys_own_is_announced(autojump_clock: MockClock, memory: Memory) -> None:
    """No internet, no database, or nonsense in it: the daemon starts."""
    versions = state()
    async with open_system(tree(versions, Page(None), memory)):
        assert versions.current.text == LIBRARY_ANNOUNCES


async def test_a_refusal_is_answered_at_once(autojump_clock: MockClock) -> None:
    """The page is read at the first refusal; without anything newer it is read again later, less and less often."""
    versions, page = state(), Page(None)
    async with open_system(tree(versions, page, Memory())) as system:
        await refuse(system, versions)
        assert (page.asked, versions.is_exhausted) == (2, True)
        page.version = NEWER
        await trio.sleep(61.0)

        assert (page.asked, versions.is_exhausted, versions.current.text) == (3, False, NEWER)


async def refuse(_: System, versions: VersionState) -> None:
    versions.refused(versions.current.text)
    await wait_all_tasks_blocked()


async def test_a_page_that_hangs_is_given_up(autojump_clock: MockClock) -> None:
    """The start goes on after its limit."""
    versions = state()

    class Hanging(Page):
        async def __call__(self) -> str:
            await trio.sleep_forever()
            raise AssertionError

    began = trio.current_time()
    async with open_system(tree(versions, Hanging(None), Memory())):
        assert trio.current_time() - began == pytest.approx(WhatsAppSettings().version_timeout_s)
