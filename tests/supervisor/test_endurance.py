"""The experiments on the core alone: floods, flapping children, random deaths; ids as in the table of faults."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import (
    Actor,
    Backoff,
    ChildSpec,
    Context,
    DynamicSupervisorSpec,
    ExitReason,
    Intensity,
    LifecycleEvent,
    MailboxSpec,
    Overflow,
    SupervisorSpec,
    System,
    open_system,
)
from supervisor.errors import ActorCrashed, ActorStopped, MailboxFull
from tests.supervisor.probes import Boom, Journal, Ping, Run, probe

HOUR_S: Final = 3600.0
COMPANIES: Final = 1_000
FLAPPER: Final = "c500"
MIB: Final = 1024**2


class Company(Actor):
    """Crashes 10 ms after it was ready, if it is the one that flaps."""

    def __init__(self, context: Context) -> None:
        self.flaps = context.name == FLAPPER

    async def started(self) -> None:
        if self.flaps:
            self.context.after(0.01, "crash")

    async def receive(self, message: Any) -> Any:
        if message == "crash":
            raise ConnectionError("the socket is gone")
        return self.context.incarnation


def companies(intensity: Intensity) -> SupervisorSpec:
    spec = DynamicSupervisorSpec(intensity=intensity, intensity_per_child=True)
    return SupervisorSpec([ChildSpec("companies", spec)])


async def start_companies(system: System, backoff: Backoff | None) -> None:
    supervisor = system.supervisor("/companies")
    for number in range(COMPANIES):
        await supervisor.start_child(ChildSpec(f"c{number}", Company, backoff=backoff))


async def everyone_else_is_unharmed(system: System) -> bool:
    """The supervisor was never restarted, nor was any of the 999, and each of them answers."""
    seen = system.snapshot("/companies")
    others = [child for child in seen.children if child.id != FLAPPER]
    answers = {await system.ref(child.path).ask(Ping()) for child in others}
    return len(others) == COMPANIES - 1 and (seen.incarnation, seen.state, answers) == (1, "running", {1})


@pytest.mark.slow
async def test_s3_a_flapping_company_among_a_thousand_is_held_back_for_an_hour(autojump_clock: MockClock) -> None:
    """One of 1,000 crashes 10 ms after each start: in an hour at most 130 restarts, and the 999 others have none."""
    backoff = Backoff(minimum=1, maximum=30, jitter=False)
    journal = Journal()
    async with open_system(companies(Intensity(1_000, 60.0)), on_event=journal.on_event) as system:
        await start_companies(system, backoff)
        await trio.sleep(HOUR_S)

        assert 110 <= system.snapshot(f"/companies/{FLAPPER}").restarts <= 130
        assert {event.path for event in journal.events if event.kind == "crashed"} == {f"/companies/{FLAPPER}"}
        assert await everyone_else_is_unharmed(system)


@pytest.mark.slow
async def test_s3_a_flapping_company_without_a_backoff_is_given_up_alone(autojump_clock: MockClock) -> None:
    """The same without a pause between restarts: it spends its own intensity in a tenth of a second and stays down."""
    journal = Journal()
    async with open_system(companies(Intensity(10, 60.0)), on_event=journal.on_event) as system:
        await start_companies(system, None)
        await trio.sleep(HOUR_S)
        flapper = system.snapshot(f"/companies/{FLAPPER}")

        assert (flapper.state, flapper.restarts) == ("failed", 10)
        assert journal.kinds(flapper.path)[-1] == "gave_up"
        assert await everyone_else_is_unharmed(system)


@pytest.mark.slow
async def test_s6_a_million_messages_to_a_stuck_actor_are_refused_at_the_limit() -> None:
    """No sender waits, no memory grows: what does not fit is refused, a million times over."""
    async with open_system(SupervisorSpec([probe("stuck")])) as system:
        ref = system.ref("/stuck")
        ref.tell(Run(sleep_for_ever))
        await wait_all_tasks_blocked()
        refused, before, begun = 0, resident(), time.process_time()
        for number in range(1_000_000):
            try:
                ref.tell(number)
            except MailboxFull:
                refused += 1
        seconds_each = (time.process_time() - begun) / 1_000_000
        grown = resident() - before

        assert refused == 1_000_000 - MailboxSpec().capacity
        assert grown < 10 * MIB
        assert seconds_each < 0.001
        assert system.kill("/stuck")


@pytest.mark.parametrize("overflow", [Overflow.DROP_NEWEST, Overflow.DROP_OLDEST])
async def test_s6_a_flood_of_a_dropping_mailbox_is_counted(overflow: Overflow) -> None:
    """Neither refusal nor growth: the mailbox holds its capacity, and the snapshot says how many were lost."""
    spec = probe("stuck", mailbox=MailboxSpec(capacity=100, overflow=overflow))
    async with open_system(SupervisorSpec([spec])) as system:
        system.suspend("/stuck")
        for number in range(100_000):
            system.ref("/stuck").tell(number)
        seen = system.snapshot("/stuck")

        assert (seen.mailbox_depth, seen.dropped) == (100, 99_900)


async def sleep_for_ever(_: Any) -> None:
    await trio.sleep_forever()


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Debtor(Actor):
    """Owes every answer."""

    async def receive(self, message: Any) -> Any:
        self.context.defer()


class Passes(trio.abc.Instrument):
    """Counts the passes of the scheduler over what can run."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


@pytest.mark.parametrize(("end", "error"), [("crashed", ActorCrashed), ("terminated", ActorStopped)])
async def test_s7_every_caller_of_an_actor_that_dies_is_told_in_one_pass(end: str, error: type[Exception]) -> None:
    """A hundred callers wait for answers that were put off; they know no later than one pass of the scheduler after the end."""
    passes, told, ended = Passes(), list[int](), list[int]()

    def note(event: LifecycleEvent) -> None:
        if event.kind == end:
            ended.append(passes.count)

    async def ask() -> None:
        with pytest.raises(error):
            await system.ref("/debtor").ask(Ping(), timeout=HOUR_S)
        told.append(passes.count)

    spec = SupervisorSpec([ChildSpec("debtor", lambda _: Debtor())], intensity=Intensity(9, 1.0))
    async with open_system(spec, on_event=note) as system, trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(passes)
        if error is ActorCrashed:
            system.kill("/debtor")
        else:
            await system.supervisor().terminate_child("debtor")
        await wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(passes)

    assert len(told) == 100
    assert max(told) <= ended[0] + 1


class Mortal(Actor):
    """Ends in each of the ways there are."""

    def __init__(self, deaths: Counter[str]) -> None:
        self.deaths = deaths
        self.breaks_in_cleanup = False

    async def receive(self, message: Any) -> Any:
        self.deaths[message] += 1
        match message:
            case "raise":
                raise Boom("raised")
            case "group":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._fail)
                    nursery.start_soon(self._fail)
            case "return":
                self.context.stop()
            case "cleanup":
                self.breaks_in_cleanup = True
                self.context.stop()
            case "helper":
                self.context.spawn(self._fail)
            case "hang":
                await trio.sleep_forever()
            case _:
                self.deaths[message] -= 1
                return self.context.incarnation
        return None

    async def stopping(self, reason: ExitReason) -> None:
        if self.breaks_in_cleanup:
            raise Boom("in the clean-up")

    async def _fail(self) -> None:
        raise Boom("in a task of its own")


WAYS: Final = ("raise", "group", "return", "cleanup", "helper", "hang", "kill")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_s1_after_thousands_of_deaths_of_every_kind_everyone_is_back(
    seed: int, autojump_clock: MockClock
) -> None:
    """Fifty actors die at random of everything there is: each end is one restart, and a minute later all of them run."""
    dice, deaths, events = Random(seed), Counter[str](), Counter[str]()

    def note(event: LifecycleEvent) -> None:
        events[event.kind] += 1

    backoff = Backoff(minimum=0.01, maximum=1)
    spec = [ChildSpec(f"a{number}", lambda _: Mortal(deaths), backoff=backoff) for number in range(50)]
    async with open_system(
        SupervisorSpec(spec, intensity=Intensity(1_000_000, 1.0)), on_event=note, seed=seed
    ) as system:
        for _ in range(2_000):
            path, way = f"/a{dice.randrange(50)}", dice.choice(WAYS)
            if way == "kill":
                deaths["kill"] += system.kill(path)
            else:
                system.ref(path).tell(way)
            if dice.random() < 0.3:
                await trio.sleep(dice.choice((0.0, 0.001, 0.02)))
        for _ in range(60):
            await trio.sleep(1)
            for child in system.snapshot().children:
                if child.current_message == "str":
                    system.kill(child.path)  # what hangs never ends by itself
        seen = system.snapshot()

        assert {(child.state, child.mailbox_depth) for child in seen.children} == {("running", 0)}
        assert events["crashed"] + events["stopped"] == events["restarting"] == events["restarted"] > 1_000
        assert sum(child.restarts for child in seen.children) == events["restarted"]
        assert all(deaths[way] > 0 for way in WAYS), f"seed {seed}: {deaths}"
