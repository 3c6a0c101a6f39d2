"""Bugs of other actor libraries, reproduced there: each of these tests would fail on the design that has it."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import Actor, ChildSpec, Context, Intensity, MailboxSpec, Overflow, SupervisorSpec, open_system
from supervisor.errors import ActorCrashed, ActorStopped, AskTimeout, StartFailed
from tests.supervisor.probes import Boom, Crash, Journal, Ping, Run, nap, probe


def one(**options: Any) -> SupervisorSpec:
    return SupervisorSpec([probe("a", **options)], intensity=Intensity(10_000, 1.0))


async def test_a_caller_s_timeout_does_not_kill_the_server(autojump_clock: MockClock) -> None:
    """triotp: the server's late reply hits a closed channel and crashes it. Here it is dropped."""
    async with open_system(one()) as system:
        with pytest.raises(AskTimeout):
            await system.ref("/a").ask(nap(2), timeout=1)
        await trio.sleep(5)

        assert (system.snapshot("/a").incarnation, system.snapshot("/a").handled) == (1, 1)


async def test_a_caller_does_not_hang_on_a_server_that_crashes(autojump_clock: MockClock) -> None:
    """triotp: only an outer deadline frees the caller. Here it gets an error at once."""
    async with open_system(one(), on_event=Journal().on_event) as system:
        with pytest.raises(ActorCrashed):
            await system.ref("/a").ask(Crash(), timeout=1000)

        assert trio.current_time() == 0


async def test_the_shared_window_counts_all_children() -> None:
    """triotp counts per child where the window is the supervisor's: three flaky children get three times the restarts."""
    journal = Journal()
    spec = SupervisorSpec([probe(child_id) for child_id in "abc"], intensity=Intensity(3, 5.0))
    async with open_system(SupervisorSpec([ChildSpec("sup", spec)]), on_event=journal.on_event) as system:
        for path in ("/sup/a", "/sup/b", "/sup/c", "/sup/a"):
            system.kill(path)
            await wait_all_tasks_blocked()

        assert journal.kinds("/sup") == ["started", "escalated", "stopped", "restarting", "restarted"]


async def test_started_means_started() -> None:
    """triotp: start_child returns although the child dies in its start. Here the failure is the caller's."""

    class Stillborn(Actor):
        async def started(self) -> None:
            await trio.lowlevel.checkpoint()
            raise Boom("stillborn")

    async with open_system(SupervisorSpec([]), on_event=Journal().on_event) as system:
        with pytest.raises(StartFailed, match="Boom: stillborn"):
            await system.supervisor().start_child(ChildSpec("a", lambda _: Stillborn()))


async def test_no_wake_up_is_lost(autojump_clock: MockClock) -> None:
    """mode: a crash during another's restart is noticed five seconds later, by a poll. Here it is acted on at once."""
    restarted: list[float] = []

    class Slow(Actor):
        def __init__(self, context: Context) -> None:
            self.incarnation = context.incarnation

        async def started(self) -> None:
            if self.incarnation > 1:
                await trio.sleep(3)

    spec = SupervisorSpec([ChildSpec("slow", Slow), probe("a")], intensity=Intensity(9, 1.0))
    async with open_system(spec, on_event=Journal().on_event) as system:
        system.kill("/slow")
        await wait_all_tasks_blocked()
        system.kill("/a")
        assert await system.ref("/a").ask(Ping()) == 2
        restarted.append(trio.current_time())

    assert restarted == [0]


async def test_a_thousand_crashes_at_once_are_all_acted_on() -> None:
    """Level-triggered: however many children end in one tick, each is restarted."""
    children = [probe(f"c{number}") for number in range(1000)]
    async with open_system(
        SupervisorSpec(children, intensity=Intensity(1000, 5.0)), on_event=Journal().on_event
    ) as system:
        for number in range(1000):
            system.kill(f"/c{number}")
        await wait_all_tasks_blocked()

        assert {child.incarnation for child in system.snapshot().children} == {2}


async def test_start_order_does_not_depend_on_the_scheduler() -> None:
    """trio runs new tasks in random order; starts are in the order of the spec, whatever that order."""
    for _ in range(20):
        journal = Journal()
        async with open_system(SupervisorSpec([probe(str(number), journal) for number in range(5)])):
            pass
        assert journal.lines[:5] == [f"start {number}" for number in range(5)]


async def test_an_answer_in_the_tick_of_the_deadline_settles_the_ask_once(autojump_clock: MockClock) -> None:
    """Reply and timeout in one tick: one of them wins, and neither the caller nor the timer task fails."""
    async with open_system(one()) as system:
        outcomes: set[str] = set()
        for _ in range(50):
            try:
                await system.ref("/a").ask(nap(1), timeout=1)
                outcomes.add("answer")
            except AskTimeout:
                outcomes.add("timeout")
        assert outcomes
        assert await system.ref("/a").ask(Ping()) == 1


class Heavy(Actor):
    """Holds 200 kB in a local while it crashes."""

    async def receive(self, message: Any) -> Any:
        if isinstance(message, Ping):
            return self.context.incarnation
        ballast = Ballast()
        try:
            await self.fall(ballast)
        except Boom as boom:
            keeper = boom
            raise ValueError(repr(keeper)) from keeper

    async def fall(self, ballast: Ballast) -> None:
        raise Boom("heavy")


class Ballast:
    """Something that shows in gc.get_objects()."""

    def __init__(self) -> None:
        self.weight = bytearray(200_000)


async def test_crashes_keep_no_memory_even_without_the_garbage_collector() -> None:
    """Naive: the exception holds the frames and a frame the exception. Here both are taken apart at once."""
    gc.collect()
    gc.disable()
    try:
        spec = SupervisorSpec([ChildSpec("heavy", lambda _: Heavy())], intensity=Intensity(1000, 1.0))
        async with open_system(spec, on_event=Journal().on_event) as system:
            for _ in range(50):
                system.ref("/heavy").tell("fall")
            assert await system.ref("/heavy").ask(Ping(), timeout=60) == 51

            assert sum(isinstance(thing, Ballast) for thing in gc.get_objects()) == 0
    finally:
        gc.enable()


async def test_a_stop_overtakes_queued_work(autojump_clock: MockClock) -> None:
    """Thespian #58: an exit request starves behind queued messages. Here it comes next."""
    journal = Journal()
    async with open_system(one(), on_event=journal.on_event) as system:
        for _ in range(500):
            system.ref("/a").tell(nap(10))
        await wait_all_tasks_blocked()

    assert trio.current_time() == 5
    assert journal.kinds("/a") == ["started", "terminated"]


async def test_a_stopped_actor_s_queue_is_told() -> None:
    """Pykka #23: messages left in a stopped actor's inbox keep their callers waiting for ever. Here they get an error."""
    async with open_system(one()) as system, trio.open_nursery() as nursery:
        told: list[str] = []

        async def ask() -> None:
            try:
                await system.ref("/a").ask(Ping(), timeout=1000)
            except Exception as error:  # noqa: BLE001 - which one is what is asserted
                told.append(type(error).__name__)

        system.suspend("/a")
        for _ in range(3):
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        await system.supervisor().terminate_child("a")

    assert told == ["ActorStopped"] * 3


async def test_a_full_mailbox_does_not_crash_the_sender_s_actor_unless_it_lets_it() -> None:
    """actor-ts #919: a full mailbox throws into the sender. Here the policy decides: under DROP_NEWEST nothing is raised."""
    quiet = MailboxSpec(capacity=1, overflow=Overflow.DROP_NEWEST)
    spec = SupervisorSpec([probe("full", mailbox=quiet), probe("sender")])
    async with open_system(spec) as system:
        system.suspend("/full")

        def send(_: Any) -> None:
            for number in range(10):
                system.ref("/full").tell(number)

        await system.ref("/sender").ask(Run(send))

        assert (await system.ref("/sender").ask(Ping()), system.snapshot("/full").dropped) == (1, 9)


async def test_a_constructor_that_raises_leaves_no_zombie() -> None:
    """actor-ts #914, ray #6612: a failed constructor leaves a thing that never answers. Here callers get an error."""

    class Broken(Actor):
        def __init__(self, context: Context) -> None:
            if context.incarnation > 1:
                raise Boom("cannot be built again")

    spec = SupervisorSpec([ChildSpec("broken", Broken)], intensity=Intensity(3, 1.0))
    async with open_system(spec, on_event=Journal().on_event) as system:
        system.kill("/broken")
        with pytest.raises(ActorStopped):
            await system.ref("/broken").ask(Ping(), timeout=1000)

        assert (await system.wait_terminated()).kind == "shutdown"


async def test_messages_to_an_actor_that_dies_while_stopping_do_not_spin(autojump_clock: MockClock) -> None:
    """actor-ts #915: a stopping actor with a queued message spins. Here time can pass."""
    async with open_system(one(), on_event=Journal().on_event) as system:
        system.ref("/a").tell(nap(1))
        for _ in range(3):
            system.ref("/a").tell("queued")
        await system.restart("/a")

        assert (await system.ref("/a").ask(Ping()), trio.current_time()) == (2, 1)
