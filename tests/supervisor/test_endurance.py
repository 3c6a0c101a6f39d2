"""The experiments on the core alone: floods, flapping children, callers of stopped actors; ids as in docs/RELIABILITY.md."""

from __future__ import annotations

import time
from pathlib import Path
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
    Intensity,
    LifecycleEvent,
    MailboxSpec,
    Overflow,
    SupervisorSpec,
    System,
    open_system,
)
from supervisor.errors import ActorCrashed, ActorStopped, MailboxFull
from tests.supervisor.probes import Journal, Ping, Run, probe

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

        restarts = system.snapshot(f"/companies/{FLAPPER}").restarts
        assert 110 <= restarts <= 130
        assert {event.path for event in journal.events if event.kind == "crashed"} == {f"/companies/{FLAPPER}"}
        assert await everyone_else_is_unharmed(system)
    print(
        f"S3: in an hour {restarts} restarts of the one that flaps, 0 of the {COMPANIES - 1} others or their supervisor"
    )


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
    """No sender waits, no memory grows: messages that do not fit are refused, a million times over."""
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
        assert system.kill("/stuck")
    print(
        f"S6: {refused:,} of 1,000,000 messages refused, {seconds_each * 1e6:.1f} us of processor time each; RSS +{grown / MIB:.1f} MiB"
    )


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
    """Defers every reply."""

    async def receive(self, message: Any) -> Any:
        self.context.defer()


class Passes(trio.abc.Instrument):
    """Counts the scheduler's passes."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


@pytest.mark.parametrize(("end", "error"), [("crashed", ActorCrashed), ("terminated", ActorStopped)])
async def test_s7_every_caller_of_an_actor_that_dies_is_told_in_one_pass(end: str, error: type[Exception]) -> None:
    """A hundred callers wait for deferred replies; they get the error at most one pass of the scheduler after the end."""
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
    print(
        f"S7: {len(told)} callers told by {error.__name__}, the last {max(told) - ended[0]} passes of the scheduler after the end"
    )
