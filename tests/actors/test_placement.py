"""Which engine hosts which company."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.engine_pool.actor import EngineReport, GetEngineReport
from actors.messages import (
    AssignEngine,
    EngineFull,
    EngineReady,
    EngineSlot,
    EngineWear,
    Hosts,
    Refused,
    ReleaseEngine,
    WaitReady,
)
from actors.placement import PlacementActor
from config.sections import EngineSettings
from supervisor import Actor, ChildSpec, Context, DynamicSupervisorSpec, SupervisorSpec, System, open_system


@dataclass
class Engines:
    """What the fake engines report."""

    hosted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fails: bool = False
    version: str = "2.3000.1"
    """What processes announce from now on."""
    told: list[str] = field(default_factory=list)
    """Companies that were asked to leave their engine."""


class FakeEngine(Actor):
    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def started(self) -> None:
        if self._engines.fails:
            raise RuntimeError("no process")

    async def receive(self, message: Any) -> Any:
        if isinstance(message, WaitReady):
            return EngineReady(f"{self.context.name}.sock", self._engines.version)
        assert isinstance(message, GetEngineReport)
        companies = self._engines.hosted.get(self.context.name, ())
        return EngineReport(
            pid=1, companies=companies, rss_bytes=0, threads=0, stale_clients=0, version=self._engines.version
        )


@asynccontextmanager
async def placement(engines: Engines, *, per_engine: int = 2, **settings: Any) -> AsyncIterator[System]:
    def make(context: Context) -> PlacementActor:
        return PlacementActor(
            context.supervisor("/engines"),
            make_engine=lambda _: FakeEngine(engines),
            settings=EngineSettings(**settings),
            sessions_per_engine=per_engine,
            have_leave=engines.told.append,
            version=lambda: engines.version,
        )

    spec = SupervisorSpec(
        [ChildSpec(id="engines", start=DynamicSupervisorSpec()), ChildSpec(id="placement", start=make)]
    )
    async with open_system(spec) as system:
        yield system


async def take(system: System, company_id: str, hosts: Hosts = "linked") -> EngineSlot:
    return await system.ref("/placement").ask(AssignEngine(company_id, hosts))


async def test_after_another_version_companies_get_a_fresh_engine(autojump_clock: MockClock) -> None:
    """A company with a slot stays; a new one goes to a process of the present version; the old process ends with its last company."""
    engines = Engines()
    async with placement(engines) as system:
        first, second = await take(system, "a"), await take(system, "b")
        engines.version = "2.3000.2"
        moved = await take(system, "a")
        running = await engines_of(system)
        tell(system, ReleaseEngine("b"))

        assert (first.version, second.engine, moved.version) == ("2.3000.1", first.engine, "2.3000.2")
        assert running == ["engine-0", "engine-1"]
        assert await engines_of(system) == ["engine-1"]


async def engines_of(system: System) -> list[str]:
    """The engines that run, once all tasks are blocked."""
    await wait_all_tasks_blocked()
    return [child.id for child in system.supervisor("/engines").which_children()]


def tell(system: System, *messages: object) -> None:
    for message in messages:
        system.ref("/placement").tell(message)


async def test_companies_fill_an_engine_before_the_next_is_started(autojump_clock: MockClock) -> None:
    """Two per engine: the third gets a second one."""
    async with placement(Engines()) as system:
        places = [(await take(system, company)).engine for company in ("a", "b", "c")]

    assert places == ["/engines/engine-0", "/engines/engine-0", "/engines/engine-1"]


async def test_a_company_keeps_its_place(autojump_clock: MockClock) -> None:
    """Asking again does not take a second slot."""
    async with placement(Engines()) as system:
        places = [(await take(system, company)).engine for company in ("a", "a", "a", "b")]

    assert set(places) == {"/engines/engine-0"}


async def test_a_place_given_back_is_given_again(autojump_clock: MockClock) -> None:
    """The engine with the fewest companies comes first."""
    async with placement(Engines(), per_engine=1) as system:
        await take(system, "a")
        await take(system, "b")
        system.ref("/placement").tell(ReleaseEngine("a"))

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
        system.ref("/placement").tell(EngineFull("a"))

        assert (await take(system, "a")).engine == "/engines/engine-1"


async def test_an_engine_that_is_gone_for_good_is_replaced(autojump_clock: MockClock) -> None:
    """Refused once, then a slot in another process."""
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


async def test_a_company_that_is_being_linked_is_never_among_linked_ones(autojump_clock: MockClock) -> None:
    """The process of linked companies has room: it gets a slot in a pairing process, and another once it is linked."""
    async with placement(Engines()) as system:
        places = [await take(system, "a"), await take(system, "b", "pairing"), await take(system, "b")]

    assert [(place.engine, place.hosts) for place in places] == [
        ("/engines/engine-0", "linked"),
        ("/engines/pairing-0", "pairing"),
        ("/engines/engine-0", "linked"),
    ]


async def test_a_company_that_is_being_linked_does_not_wait_for_a_process_later(autojump_clock: MockClock) -> None:
    """One for linked companies is started at the same time, unless one has room."""
    async with placement(Engines()) as system:
        await take(system, "a", "pairing")
        first = await engines_of(system)
        await take(system, "b", "pairing")

        assert (first, await engines_of(system)) == (["pairing-0", "engine-0"], ["pairing-0", "engine-0"])


async def test_a_pairing_process_ends_when_it_was_empty_for_a_time(autojump_clock: MockClock) -> None:
    """Not before, and not when a company came meanwhile; that of linked companies stays."""
    async with placement(Engines(), pairing_idle_s=30.0) as system:
        await take(system, "a", "pairing")
        await take(system, "b")
        tell(system, ReleaseEngine("a"))
        await trio.sleep(20)
        await take(system, "c", "pairing")
        await trio.sleep(20)
        while_taken = await engines_of(system)
        tell(system, ReleaseEngine("c"), ReleaseEngine("b"))
        await trio.sleep(29)
        too_early = await engines_of(system)
        await trio.sleep(2)

        assert (while_taken, too_early) == (["pairing-0", "engine-0"], ["pairing-0", "engine-0"])
        assert await engines_of(system) == ["engine-0"]


async def test_a_worn_pairing_process_takes_no_more_and_ends_once_it_is_empty(autojump_clock: MockClock) -> None:
    """A company that is being linked there is not disturbed; the next ones are linked in another."""
    async with placement(Engines()) as system:
        await take(system, "a", "pairing")
        tell(system, EngineWear("pairing-0", is_worn=True))
        beside = await take(system, "b", "pairing")
        before = await engines_of(system)
        tell(system, ReleaseEngine("a"))

        assert (beside.engine, before) == ("/engines/pairing-1", ["pairing-0", "engine-0", "pairing-1"])
        assert await engines_of(system) == ["engine-0", "pairing-1"]


async def test_an_empty_pairing_process_that_wears_ends_at_once(autojump_clock: MockClock) -> None:
    """It is empty, so there is nothing to wait for."""
    async with placement(Engines()) as system:
        await take(system, "a", "pairing")
        tell(system, ReleaseEngine("a"), EngineWear("pairing-0", is_worn=True))

        assert await engines_of(system) == ["engine-0"]


async def test_the_companies_of_a_worn_process_leave_one_at_a_time(autojump_clock: MockClock) -> None:
    """One more at each report, another process takes them, and with the last one the worn process ends."""
    engines = Engines()
    async with placement(engines) as system:
        await take(system, "a")
        await take(system, "b")
        after = list[str]()
        for _ in range(2):
            tell(system, EngineWear("engine-0", is_worn=True))
            await wait_all_tasks_blocked()
            tell(system, ReleaseEngine(engines.told[-1]))
            after.append((await take(system, engines.told[-1])).engine)

        assert (engines.told, after) == (["a", "b"], ["/engines/engine-1", "/engines/engine-1"])
        assert await engines_of(system) == ["engine-1"]


async def test_a_company_that_does_not_leave_does_not_keep_the_others(autojump_clock: MockClock) -> None:
    """It may be busy with a log-in: the next report asks another."""
    engines = Engines()
    async with placement(engines) as system:
        await take(system, "a")
        await take(system, "b")
        for _ in range(3):
            tell(system, EngineWear("engine-0", is_worn=True))
        await wait_all_tasks_blocked()

        assert engines.told == ["a", "b", "a"]


async def test_nobody_has_to_leave_where_no_other_process_has_room(autojump_clock: MockClock) -> None:
    """All possible processes are full: a worn one goes on until it is exhausted."""
    engines = Engines()
    async with placement(engines, per_engine=1, max_processes=1) as system:
        await take(system, "a")
        tell(system, EngineWear("engine-0", is_worn=True))
        await wait_all_tasks_blocked()

        assert engines.told == []


async def test_a_process_that_came_back_fresh_takes_companies_again(autojump_clock: MockClock) -> None:
    """It was restarted under its name, and its report says so."""
    engines = Engines()
    async with placement(engines, per_engine=2, max_processes=1) as system:
        await take(system, "a")
        tell(system, EngineWear("engine-0", is_worn=True), EngineWear("engine-0", is_worn=False))

        assert (await take(system, "b")).engine == "/engines/engine-0"


async def test_processes_for_pairings_are_bounded_by_themselves(autojump_clock: MockClock) -> None:
    """One more pairing than fits is refused; linked companies are not affected."""
    async with placement(Engines(), per_engine=1, max_pairing_processes=2) as system:
        for company in ("a", "b"):
            await take(system, company, "pairing")
        with pytest.raises(Refused, match="being linked"):
            await take(system, "c", "pairing")

        assert (await take(system, "d")).engine == "/engines/engine-0"


async def test_nothing_is_linked_that_has_no_process_to_run_in(autojump_clock: MockClock) -> None:
    """Every process of linked companies is full: the phone is not asked for in vain."""
    async with placement(Engines(), per_engine=1, max_processes=1) as system:
        await take(system, "a")
        with pytest.raises(Refused, match="full"):
            await take(system, "b", "pairing")


async def test_after_a_crash_it_knows_what_each_process_is_for(autojump_clock: MockClock) -> None:
    """And ends the pairing process that no company uses."""
    async with placement(Engines(), pairing_idle_s=30.0) as system:
        await take(system, "a", "pairing")
        system.kill("/placement")
        linked = await take(system, "b")
        await trio.sleep(31)

        assert linked.engine == "/engines/engine-0"
        assert await engines_of(system) == ["engine-0"]
