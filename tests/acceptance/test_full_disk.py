"""The state directory's disk is full, and Postgres is elsewhere: companies leave WhatsApp, which keeps everything, and come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from storage.embedded.server import EmbeddedPostgres
from tests.acceptance.conftest import prepare
from tests.acceptance.peer import Peer
from tests.support.api import SESSIONS, Api
from tests.support.bars import patience
from tests.support.eventually import eventually
from tests.support.site import Plan, Site, User, open_site
from tests.support.small_disk import fill, mounted_disk, needs_mount, take_inodes

pytestmark = [pytest.mark.slow, *needs_mount]

COMPANIES = (User(1), User(2))
PLAN = Plan(
    companies=COMPANIES,
    others=(User(98), User(99)),
    settings={"RATE_LIMIT_MAX_REQUESTS": "100000"},
    has_own_database=True,
)
SIZE_MIB, INODES = 16, 400
MESSAGES = 100
BACK_WITHIN_S = patience(15.0)
SHORT_S = 6.0
FILL_EVERY_S = 0.2
RETRYABLE = ("storage_full", "reconnecting", "engine_unavailable")
"""How a send may end while its company leaves and comes back: each code says that it may be tried again."""


@pytest.fixture(scope="module")
def site(plan: Plan, database: EmbeddedPostgres | None) -> Generator[Site]:
    """As everywhere, with a state directory of 16 MiB."""
    assert database is not None
    with (
        open_site({**plan.settings, "DATABASE_URL": database.dsn}) as site,
        mounted_disk(SIZE_MIB, inodes=INODES, at=site.daemon.state_dir),
    ):
        site.daemon.start()
        try:
            trio.run(prepare, site, plan)
            yield site
        finally:
            site.daemon.end()


def use_space(directory: Path) -> Callable[[], None]:
    """Take all space, and what is freed meanwhile too; return a function that frees it."""
    ballast = directory / "ballast"
    fill(ballast)
    return ballast.unlink


def use_inodes(directory: Path) -> Callable[[], None]:
    """Take all inodes; return a function that frees them."""
    ballast = directory / "ballast"
    take_inodes(ballast)

    def free() -> None:
        for path in ballast.iterdir():
            path.unlink()
        ballast.rmdir()

    return free


@asynccontextmanager
async def used_up(directory: Path, use: Callable[[Path], Callable[[], None]]) -> AsyncGenerator[None]:
    """Inside the block a thread takes all free space again and again: the reserve too."""
    free = use(directory)
    async with trio.open_nursery() as nursery:

        async def go_on() -> None:
            while True:
                await trio.sleep(FILL_EVERY_S)
                use(directory)

        nursery.start_soon(go_on)
        yield
        nursery.cancel_scope.cancel()
    free()


@dataclass(slots=True)
class Run:
    """The texts sent, and the codes of the sends meanwhile."""

    sent: dict[str, User] = field(default_factory=dict[str, User])
    codes: Counter[str] = field(default_factory=Counter[str])
    acknowledged: set[str] = field(default_factory=set[str])


async def write_to(companies: Sequence[User], talker: Peer, run: Run, within: float) -> None:
    """Send `MESSAGES` texts to the companies in turns, spread over the time."""
    for number in range(MESSAGES):
        company = companies[number % len(companies)]
        await talker.wait_repeatable()
        run.sent[await talker.send(company, f"text {number}")] = company
        await trio.sleep(within / MESSAGES)


async def write_from(company: User, api: Api, listener: Peer, run: Run, until: trio.Event) -> None:
    """Send texts of a company until asked to end."""
    while not until.is_set():
        answer = await api.try_send(company.company, listener.user.phone, f"of {company.company}")
        body = answer.json()
        run.codes[body.get("code", "ok")] += 1
        if answer.status_code == 200:
            run.acknowledged.add(body["messageId"])
        await trio.sleep(0.1)


async def wait_events(api: Api, run: Run, since: int) -> None:
    """Wait until every text is an event of its company, once."""
    for company in COMPANIES:
        owed = {id_ for id_, to in run.sent.items() if to == company}
        arrived: list[str] = []

        async def look(company: User = company, owed: set[str] = owed, arrived: list[str] = arrived) -> bool:
            events = await api.events(since, company=company.company, kind="message")
            arrived[:] = [event["payload"]["messageId"] for event in events]
            return owed <= set(arrived)

        try:
            await eventually(f"{len(owed)} messages to be events", look, within=90.0)
        except AssertionError as error:
            raise AssertionError(f"{error}; missing: {sorted(owed - set(arrived))}") from None
        assert [id_ for id_, times in Counter(arrived).items() if times > 1] == []


async def be_full(
    site: Site, api: Api, peers: tuple[Peer, ...], use: Callable[[Path], Callable[[], None]], seconds: float
) -> None:
    """The whole of it: nothing is lost, every party hears of it, and all is back in time."""
    listener, talker = peers
    run, done = Run(), trio.Event()
    await api.wait_connected(*(user.company for user in COMPANIES), within=30.0)
    since = await api.last_seq()
    async with trio.open_nursery() as nursery:
        for company in COMPANIES:
            nursery.start_soon(write_from, company, api, listener, run, done)
        await eventually("sends to go through", lambda: _is(run.codes["ok"] >= 4), within=20.0)
        began = trio.current_time()
        async with used_up(site.daemon.state_dir, use):
            nursery.start_soon(write_to, COMPANIES, talker, run, 0.7 * seconds)
            await eventually("companies to leave", lambda: _all_suspended(api), within=20.0)
            left_s = trio.current_time() - began
            await eventually("the daemon to be not ready", lambda: _is_ready(api, 503), within=3.0)
            upload = await api.call("POST", f"{SESSIONS}/{COMPANIES[0].company}/media", content=b"x" * 2000)
            status = await api.status(COMPANIES[0].company)
            await trio.sleep_until(began + seconds)
        room_at = trio.current_time()
        await api.wait_connected(*(user.company for user in COMPANIES), within=BACK_WITHIN_S)
        back_s = trio.current_time() - room_at
        done.set()
    await wait_events(api, run, since)
    await listener.wait_received(run.acknowledged, within=30.0)

    assert status["reasonCode"] == "storage_full"
    assert upload.json()["code"] == "storage_full"
    assert upload.status_code == 507
    assert await _is_ready(api, 200)
    assert set(run.codes) <= {"ok", *RETRYABLE}
    assert run.codes["storage_full"] > 0
    assert len(run.sent) == MESSAGES
    print(
        f"full for {seconds:g} s ({use.__name__}): left after {left_s:.1f} s, {len(run.sent)} of {MESSAGES} arrived,"
        f" sends {dict(run.codes)}, back {back_s:.1f} s after there was room ({status['reason']})"
    )


async def _all_suspended(api: Api) -> bool:
    states = await api.states()
    return all(states[user.company] == "suspended" for user in COMPANIES)


async def _is_ready(api: Api, status: int) -> bool:
    return (await api.call("GET", "/readyz", key="")).status_code == status


async def _is(value: bool) -> bool:
    await trio.lowlevel.checkpoint()
    return value


@pytest.mark.parametrize("use", [use_space, use_inodes])
async def test_a_full_disk_loses_nothing(
    site: Site, api: Api, peers: tuple[Peer, ...], use: Callable[[Path], Callable[[], None]]
) -> None:
    """Companies are suspended with the reason, requests for them get 507, readyz 503; with room all is as before and complete."""
    await be_full(site, api, peers, use, SHORT_S)


@pytest.mark.long
async def test_a_disk_that_is_full_for_75_s_loses_nothing(site: Site, api: Api, peers: tuple[Peer, ...]) -> None:
    """Longer than the library asks for a message that it could not decrypt."""
    await be_full(site, api, peers, use_space, 75.0)


@pytest.mark.chaos
async def test_a_disk_that_is_full_for_300_s_loses_nothing(site: Site, api: Api, peers: tuple[Peer, ...]) -> None:
    """Longer than every time-out."""
    await be_full(site, api, peers, use_space, 300.0)
