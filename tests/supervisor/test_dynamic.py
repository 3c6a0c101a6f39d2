"""Dynamic supervisors beyond OTP's suite: limits, concurrency, and an intensity for each child."""

from __future__ import annotations

from typing import Any

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
    Restart,
    SupervisorSpec,
    open_system,
)
from supervisor.errors import ActorStopped, AlreadyPresent, AlreadyStarted, TooManyChildren
from tests.supervisor.otp.kit import open_simple
from tests.supervisor.probes import Journal, Ping, probe

PER_CHILD = DynamicSupervisorSpec(intensity=Intensity(2, 5.0), intensity_per_child=True)


class Slow(Actor):
    """Takes a second to start."""

    def __init__(self, _: Context) -> None:
        pass

    async def started(self) -> None:
        await trio.sleep(1)

    async def receive(self, message: Any) -> Any:
        return self.context.incarnation


async def test_children_start_concurrently(autojump_clock: MockClock) -> None:
    """Ten starts of a second each take a second together, and the supervisor answers meanwhile."""
    async with open_simple() as sup:
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(sup.ref.start_child, ChildSpec(f"c{number}", Slow))
            await wait_all_tasks_blocked()
            assert set((await sup.states()).values()) == {"starting"}
            await sup.ref.start_child(probe("quick"))
            assert trio.current_time() == 0

        assert trio.current_time() == 1
        assert await sup.counts() == [11, 11, 0, 11]


async def test_max_children() -> None:
    """One child more than max_children is refused by name and number; there is room again when one has gone."""
    async with open_simple(max_children=2) as sup:
        for child_id in "ab":
            await sup.ref.start_child(probe(child_id))
        with pytest.raises(TooManyChildren, match="/sup holds its 2 children already"):
            await sup.ref.start_child(probe("c"))
        await sup.ref.terminate_child("a")

        assert (await sup.ref.start_child(probe("c"))).path == "/sup/c"


async def test_an_id_in_use_is_refused_with_the_ref_of_who_uses_it() -> None:
    """start_child of an id that is there raises `AlreadyStarted`."""
    async with open_simple() as sup:
        ref = await sup.ref.start_child(probe("a"))
        with pytest.raises(AlreadyStarted) as caught:
            await sup.ref.start_child(probe("a"))

        assert caught.value.ref is ref


async def test_a_flapping_child_is_given_up_alone(autojump_clock: MockClock) -> None:
    """With an intensity per child one that spends it shows as failed, its callers get an error, and its siblings go on."""
    journal = Journal()
    spec = SupervisorSpec([ChildSpec("dyn", PER_CHILD)])
    async with open_system(spec, on_event=journal.on_event) as system:
        dyn = system.supervisor("/dyn")
        flapping, steady = [await dyn.start_child(probe(child_id)) for child_id in ("flapping", "steady")]
        for _ in range(3):
            system.kill("/dyn/flapping")
            await wait_all_tasks_blocked()

        assert system.snapshot("/dyn/flapping").state == "failed"
        assert journal.kinds("/dyn/flapping")[-1] == "gave_up"
        with pytest.raises(ActorStopped, match="was given up: it crashed too often"):
            flapping.tell("hello")
        assert await steady.ask(Ping()) == 1
        assert system.snapshot("/dyn").incarnation == 1


async def test_a_child_that_was_given_up_can_be_brought_back() -> None:
    """restart_child starts it again under the same ref; start_child says that it is known."""
    async with open_system(SupervisorSpec([ChildSpec("dyn", PER_CHILD)]), on_event=Journal().on_event) as system:
        dyn = system.supervisor("/dyn")
        ref = await dyn.start_child(probe("a"))
        for _ in range(3):
            system.kill("/dyn/a")
            await wait_all_tasks_blocked()
        with pytest.raises(AlreadyPresent):
            await dyn.start_child(probe("a"))
        assert await dyn.restart_child("a") is ref

        assert await ref.ask(Ping()) == 4


async def test_a_child_that_was_given_up_can_be_deleted() -> None:
    """delete_child forgets it, and its id is free."""
    async with open_system(SupervisorSpec([ChildSpec("dyn", PER_CHILD)]), on_event=Journal().on_event) as system:
        dyn = system.supervisor("/dyn")
        await dyn.start_child(probe("a"))
        for _ in range(3):
            system.kill("/dyn/a")
            await wait_all_tasks_blocked()
        await dyn.delete_child("a")

        assert await (await dyn.start_child(probe("a"))).ask(Ping()) == 1


async def test_many_children_that_flap_apart_never_end_the_supervisor() -> None:
    """Fifty children crash twice each: a shared intensity of two would have been used up at once."""
    async with open_system(SupervisorSpec([ChildSpec("dyn", PER_CHILD)]), on_event=Journal().on_event) as system:
        dyn = system.supervisor("/dyn")
        for number in range(50):
            await dyn.start_child(probe(f"c{number}"))
        for _ in range(2):
            for number in range(50):
                system.kill(f"/dyn/c{number}")
            await wait_all_tasks_blocked()

        assert {child.incarnation for child in dyn.which_children()} == {3}


async def test_a_child_in_backoff_can_be_terminated(autojump_clock: MockClock) -> None:
    """Terminating a child that waits for its restart forgets it at once."""
    async with open_simple() as sup:
        ref = await sup.ref.start_child(probe("a", backoff=Backoff(initial=30, jitter=False)))
        await sup.kill("a")
        assert await sup.states() == {"a": "restarting"}
        await sup.ref.terminate_child("a")

        assert (await sup.counts(), trio.current_time()) == ([0, 0, 0, 0], 0)
        with pytest.raises(ActorStopped):
            ref.tell("hello")


async def test_a_child_in_its_start_can_be_terminated(autojump_clock: MockClock) -> None:
    """Terminating a child that is being started fails its start and returns when it has ended."""
    async with open_simple() as sup, trio.open_nursery() as nursery:

        async def start() -> None:
            with pytest.raises(ActorStopped, match="was terminated before it was ready"):
                await sup.ref.start_child(ChildSpec("slow", Slow))

        nursery.start_soon(start)
        await wait_all_tasks_blocked()
        await sup.ref.terminate_child("slow")

        assert (await sup.counts(), trio.current_time()) == ([0, 0, 0, 0], 0)


async def test_whoever_cancels_start_child_leaves_the_child_running(autojump_clock: MockClock) -> None:
    """A caller that gives up does not undo the start."""
    async with open_simple() as sup:
        with trio.move_on_after(0.5):
            await sup.ref.start_child(ChildSpec("slow", Slow))
        await trio.sleep(1)

        assert await sup.states() == {"slow": "running"}


async def test_refs_of_an_id_that_is_used_again_are_not_mixed_up() -> None:
    """The ref of a child that has gone stays stopped when another child of that id is started."""
    async with open_simple() as sup:
        old = await sup.ref.start_child(probe("a", restart=Restart.TEMPORARY))
        await sup.ref.terminate_child("a")
        new = await sup.ref.start_child(probe("a"))

        assert old is not new
        assert await new.ask(Ping()) == 1
        with pytest.raises(ActorStopped, match="/sup/a is gone"):
            old.tell("hello")


async def test_requests_wait_while_the_supervisor_restarts() -> None:
    """A request to a supervisor that is being restarted is served by its next incarnation."""
    spec = SupervisorSpec([ChildSpec("dyn", DynamicSupervisorSpec())])
    async with open_system(spec, on_event=Journal().on_event) as system:
        system.kill("/dyn")
        ref = await system.supervisor("/dyn").start_child(probe("a"))

        assert await ref.ask(Ping()) == 1
        assert system.snapshot("/dyn").incarnation == 2


async def test_requests_to_a_stopped_supervisor_fail() -> None:
    """A request to a supervisor that was terminated raises `ActorStopped` at once."""
    spec = SupervisorSpec([ChildSpec("dyn", DynamicSupervisorSpec())])
    async with open_system(spec) as system:
        await system.supervisor("/").terminate_child("dyn")
        with pytest.raises(ActorStopped, match="/dyn is stopped"):
            await system.supervisor("/dyn").start_child(probe("a"))
