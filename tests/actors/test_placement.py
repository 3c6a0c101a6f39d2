"""Which engine hosts which company."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from trio.testing import MockClock

from actors.engines.actor import EngineReport, GetEngineReport
from actors.messages import EnginePlace, LeavePlace, PlaceWasFull, Refused, TakePlace, WaitReady
from actors.placement import PlacementActor
from config.sections import EngineSettings
from supervisor import Actor, ChildSpec, Context, DynamicSupervisorSpec, SupervisorSpec, System, open_system


@dataclass
class Engines:
    """What the fake engines say."""

    hosted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fails: bool = False


class FakeEngine(Actor):
    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def started(self) -> None:
        if self._engines.fails:
            raise RuntimeError("no process")

    async def receive(self, message: Any) -> Any:
        if isinstance(message, WaitReady):
            return f"{self.context.name}.sock"
        assert isinstance(message, GetEngineReport)
        companies = self._engines.hosted.get(self.context.name, ())
        return EngineReport(pid=1, companies=companies, rss_bytes=0, threads=0, stale_clients=0)


@asynccontextmanager
async def placement(engines: Engines, *, per_engine: int = 2, **settings: Any) -> AsyncIterator[System]:
    def make(context: Context) -> PlacementActor:
        return PlacementActor(
            context.supervisor("/engines"),
            make_engine=lambda _: FakeEngine(engines),
            settings=EngineSettings(**settings),
            sessions_per_engine=per_engine,
        )

    spec = SupervisorSpec(
        [ChildSpec(id="engines", start=DynamicSupervisorSpec()), ChildSpec(id="placement", start=make)]
    )
    async with open_system(spec) as system:
        yield system


async def take(system: System, company_id: str) -> EnginePlace:
    return await system.ref("/placement").ask(TakePlace(company_id))


async def test_companies_fill_an_engine_before_the_next_is_started(autojump_clock: MockClock) -> None:
    """Two an engine: the third gets a second one."""
    async with placement(Engines()) as system:
        places = [(await take(system, company)).engine for company in ("a", "b", "c")]

    assert places == ["/engines/engine-0", "/engines/engine-0", "/engines/engine-1"]


async def test_a_company_keeps_its_place(autojump_clock: MockClock) -> None:
    """Asking again does not take a second place."""
    async with placement(Engines()) as system:
        places = [(await take(system, company)).engine for company in ("a", "a", "a", "b")]

    assert set(places) == {"/engines/engine-0"}


async def test_a_place_given_back_is_given_again(autojump_clock: MockClock) -> None:
    """The fewest companies first."""
    async with placement(Engines(), per_engine=1) as system:
        await take(system, "a")
        await take(system, "b")
        system.ref("/placement").tell(LeavePlace("a"))

        assert (await take(system, "c")).engine == "/engines/engine-0"


async def test_after_a_crash_it_learns_whom_the_engines_host(autojump_clock: MockClock) -> None:
    """A full engine is not overfilled by a placement that has forgotten."""
    engines = Engines(hosted={"engine-0": ("a", "b")})
    async with placement(engines) as system:
        await take(system, "a")
        await take(system, "b")
        system.kill("/placement")

        assert (await take(system, "c")).engine == "/engines/engine-1"
        assert (await take(system, "a")).engine == "/engines/engine-0"


async def test_a_company_that_was_sent_to_a_full_engine_gets_another(autojump_clock: MockClock) -> None:
    """The engine hosts others than placement thinks: refused there, the company is sent elsewhere."""
    engines = Engines()
    async with placement(engines) as system:
        assert (await take(system, "a")).engine == "/engines/engine-0"
        engines.hosted = {"engine-0": ("x", "y")}
        system.ref("/placement").tell(PlaceWasFull("a"))

        assert (await take(system, "a")).engine == "/engines/engine-1"


async def test_an_engine_that_is_gone_for_good_is_replaced(autojump_clock: MockClock) -> None:
    """Refused once, then a place in another process."""
    async with placement(Engines()) as system:
        await take(system, "a")
        await system.supervisor("/engines").terminate_child("engine-0")
        with pytest.raises(Refused) as refusal:
            await take(system, "a")

        assert refusal.value.code == "engine_unavailable"
        assert (await take(system, "a")).socket_path == "engine-0.sock"


async def test_the_number_of_processes_is_bounded(autojump_clock: MockClock) -> None:
    """One more than the settings allow is refused."""
    async with placement(Engines(), per_engine=1, max_processes=1) as system:
        await take(system, "a")
        with pytest.raises(Refused, match="full"):
            await take(system, "b")


async def test_an_engine_that_cannot_start_is_a_refusal(autojump_clock: MockClock) -> None:
    """Placement lives on and the next attempt may succeed."""
    engines = Engines(fails=True)
    async with placement(engines) as system:
        with pytest.raises(Refused) as refusal:
            await take(system, "a")
        engines.fails = False

        assert refusal.value.code == "engine_unavailable"
        assert (await take(system, "a")).engine == "/engines/engine-0"
