"""The health actor in virtual time."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import health as module
from actors import messages as m
from actors.daemon.notify import ServiceManager
from actors.disk.state import DiskState
from actors.health import HealthActor
from actors.storage.requests import CheckWritable
from config.sections import HealthSettings
from supervisor import Actor, ActorRef, Backoff, ChildSpec, Context, Intensity, SupervisorSpec, System, open_system
from tests.actors.fakes import RecordingActor

COMPANY = "962302"
SLOW = Backoff(minimum=1000.0, maximum=1000.0, jitter=False)


@dataclass
class Ward:
    """What the fakes reply, and the messages they got."""

    checks: dict[str, bool] = field(default_factory=lambda: {"connected": True, "roundTrip": True})
    checked: int = 0
    storage_away: bool = False
    published: list[Any] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    health: list[bool] = field(default_factory=list)
    is_forgotten: bool = False
    companies: int = 1
    hanging: str = ""
    """The company that never answers."""
    asked_at: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list[float]))
    manager: ServiceManager = field(default_factory=ServiceManager)
    disk: DiskState = field(default_factory=DiskState)


class FakeDirectory(Actor):
    def __init__(self, ward: Ward, company: ActorRef) -> None:
        self.ward = ward
        self.company = company

    async def receive(self, message: Any) -> Any:
        match message:
            case m.ListSessions() if self.ward.is_forgotten:
                return m.SessionPage(count=0, sessions=(), next=None)
            case m.ListSessions():
                summaries = tuple(
                    m.SessionSummary(
                        company_id=str(int(COMPANY) + number),
                        connected=True,
                        status=m.CompanyState.CONNECTED,
                        health="unknown",
                    )
                    for number in range(self.ward.companies)
                )
                return m.SessionPage(count=len(summaries), sessions=summaries, next=None)
            case m.FindCompany(company_id):
                self.ward.asked_at[company_id].append(trio.current_time())
                if company_id == self.ward.hanging:
                    self.context.defer()
                return self.company
            case m.HealthChanged(_, healthy):
                self.ward.health.append(healthy)
            case _:
                raise TypeError
        return None


class FakeCompany(Actor):
    def __init__(self, ward: Ward) -> None:
        self.ward = ward

    async def receive(self, message: Any) -> Any:
        assert isinstance(message, m.CheckHealth)
        self.ward.checked += 1
        return m.HealthReport(
            company_id=COMPANY,
            healthy=all(self.ward.checks.values()),
            status=m.CompanyState.CONNECTED,
            phone_number=None,
            checks=self.ward.checks,
        )


class FakeStorage(Actor):
    def __init__(self, ward: Ward) -> None:
        self.ward = ward

    async def started(self) -> None:
        if self.ward.storage_away:
            raise ConnectionError("still away")

    async def receive(self, message: Any) -> Any:
        assert isinstance(message, CheckWritable)
        if self.ward.storage_away:
            raise m.Refused("storage_unavailable", "away")


@asynccontextmanager
async def health(ward: Ward) -> AsyncIterator[System]:
    async def restart_company(company_id: str) -> None:
        await trio.lowlevel.checkpoint()
        ward.restarted.append(company_id)

    def make(context: Context) -> HealthActor:
        return HealthActor(
            directory=context.ref_to("/directory"),
            events=context.ref_to("/events"),
            storage=context.ref_to("/storage"),
            settings=HealthSettings(),
            restart_company=restart_company,
            manager=ward.manager,
            disk=ward.disk,
        )

    spec = SupervisorSpec(
        [
            ChildSpec(id="storage", start=lambda _: FakeStorage(ward), backoff=SLOW),
            ChildSpec(id="events", start=lambda _: RecordingActor(ward.published)),
            ChildSpec(id="company", start=lambda _: FakeCompany(ward)),
            ChildSpec(id="directory", start=lambda context: FakeDirectory(ward, context.ref_to("/company"))),
            ChildSpec(id="health", start=make),
        ],
        intensity=Intensity(5, 10_000.0),
    )
    async with open_system(spec) as system:
        yield system


async def test_every_connected_company_is_asked_every_thirty_seconds(autojump_clock: MockClock) -> None:
    """Ten minutes, twenty round trips, and the directory knows it is healthy."""
    ward = Ward()
    async with health(ward):
        await trio.sleep(601)

    assert ward.checked == 20
    assert set(ward.health) == {True}


async def test_the_checks_of_many_companies_are_spread_over_time(autojump_clock: MockClock) -> None:
    """Ten companies, each asked every thirty seconds: one after another, over nearly all of that time."""
    ward = Ward(companies=10)
    async with health(ward):
        began = trio.current_time()
        await trio.sleep(89)

    after = [[round(at - began, 1) for at in times] for times in ward.asked_at.values()]
    assert after == [[round(start + 2.7 * number, 1) for start in (30, 60)] for number in range(10)]


async def test_a_company_that_does_not_answer_delays_no_round(autojump_clock: MockClock) -> None:
    """It is asked last, and silent until the next round is under way: that begins in time, and all are asked again."""
    last = str(int(COMPANY) + 9)
    ward = Ward(companies=10, hanging=last)
    async with health(ward):
        began = trio.current_time()
        await trio.sleep(131)

    after = [round(times[2] - began, 1) for times in ward.asked_at.values()]
    assert after == [round(90 + 2.7 * number, 1) for number in range(10)]
    assert ward.restarted == [last]


async def test_a_company_still_being_asked_is_not_asked_again(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One ping at a time, however long its answer takes: every second round finds it still waiting."""
    monkeypatch.setattr(module, "ASK_S", 40.0)
    ward = Ward(companies=2, hanging=COMPANY)
    async with health(ward):
        began = trio.current_time()
        await trio.sleep(121)

    assert [round(at - began, 1) for at in ward.asked_at[COMPANY]] == [30.0, 90.0]
    assert len(ward.asked_at[str(int(COMPANY) + 1)]) == 3


async def test_two_misses_are_an_event_three_a_restart(autojump_clock: MockClock) -> None:
    """And the count begins anew after the restart."""
    ward = Ward(checks={"connected": True, "roundTrip": False})
    async with health(ward):
        await trio.sleep(61)
        after_two = (len(ward.published), list(ward.restarted))
        await trio.sleep(30)
        after_three = (len(ward.published), list(ward.restarted))

    assert (after_two, after_three) == ((1, []), (1, [COMPANY]))
    assert ward.published[0].events[0].type == "health_check_failed"


async def test_a_company_that_left_by_itself_is_left_alone(autojump_clock: MockClock) -> None:
    """It is no longer connected when it is asked: its own state machine deals with that."""
    ward = Ward(checks={"connected": False, "roundTrip": False})
    async with health(ward):
        await trio.sleep(300)

    assert (ward.published, ward.restarted) == ([], [])


async def test_a_good_answer_clears_the_misses(autojump_clock: MockClock) -> None:
    """Miss, miss, answer, miss, miss: no restart."""
    ward = Ward(checks={"connected": True, "roundTrip": False})
    async with health(ward):
        await trio.sleep(61)
        ward.checks["roundTrip"] = True
        await trio.sleep(30)
        ward.checks["roundTrip"] = False
        await trio.sleep(60)

    assert ward.restarted == []


async def test_the_misses_of_a_forgotten_company_are_forgotten(autojump_clock: MockClock) -> None:
    """Two misses, forgotten, made anew: that one begins with none, and no counts are kept of companies that never come back."""
    ward = Ward(checks={"connected": True, "roundTrip": False})
    async with health(ward):
        await trio.sleep(61)
        ward.is_forgotten = True
        await trio.sleep(30)
        ward.is_forgotten = False
        await trio.sleep(60)

    assert ward.restarted == []


async def test_readiness_is_that_storage_takes_writes(autojump_clock: MockClock) -> None:
    """Ready, then not, then ready again."""
    ward = Ward()
    async with health(ward) as system:
        answers: list[bool] = []
        for away in (False, True, False):
            ward.storage_away = away
            answers.append((await system.ref("/health").ask(m.GetDaemonHealth())).ready)

    assert answers == [True, False, True]


@pytest.fixture
def service_manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def heard(listener: socket.socket) -> list[bytes]:
    """What has arrived so far."""
    found: list[bytes] = []
    with suppress(BlockingIOError):
        while True:
            found.append(listener.recv(1000))
    return found


async def test_the_watchdog_is_fed_three_times_in_its_time(
    autojump_clock: MockClock, service_manager: socket.socket
) -> None:
    """Also while the health actor is suspended."""
    ward = Ward(manager=ServiceManager(service_manager.getsockname(), watchdog_s=30.0))
    async with health(ward) as system:
        await trio.sleep(29)
        system.suspend("/health")
        await trio.sleep(30)

        assert heard(service_manager) == [b"WATCHDOG=1"] * 6


async def test_a_disk_that_takes_no_writes_makes_the_daemon_not_ready(autojump_clock: MockClock) -> None:
    """A message that arrives could not be kept."""
    ward = Ward()
    async with health(ward) as system:
        well = await system.ref("/health").ask(m.GetDaemonHealth())
        ward.disk.fault = "no space is left"
        unwell = await system.ref("/health").ask(m.GetDaemonHealth())

        assert (well.ready, well.checks) == (True, {"storage": True, "disk": True})
        assert (unwell.ready, unwell.checks) == (False, {"storage": True, "disk": False})


async def test_an_unwell_tree_is_not_fed(autojump_clock: MockClock, service_manager: socket.socket) -> None:
    """The reason is given once, as the service's status."""
    ward = Ward(manager=ServiceManager(service_manager.getsockname(), watchdog_s=30.0))
    async with health(ward) as system:
        ward.storage_away = True
        system.kill("/storage")
        await trio.sleep(65)
        heard(service_manager)
        await trio.sleep(100)

        assert heard(service_manager) == [b"STATUS=not well: /storage is restarting for more than 60 s"]
