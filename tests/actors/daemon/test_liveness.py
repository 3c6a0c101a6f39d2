"""The conditions for feeding the watchdog."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from actors.daemon.liveness import DOWN_FOR_S, why_unwell
from supervisor import Actor, Backoff, ChildSpec, Intensity, SupervisorSpec, System, open_system


class Sound(Actor):
    """An actor that works as it should."""


class CannotStart(Actor):
    async def started(self) -> None:
        raise ConnectionError("still away")


class Shielded(Actor):
    """Does not end when it is asked to."""

    def __init__(self, let_go: trio.Event) -> None:
        self.let_go = let_go

    async def receive(self, message: object) -> None:
        with trio.CancelScope(shield=True):
            await self.let_go.wait()


def spec(*children: ChildSpec) -> SupervisorSpec:
    return SupervisorSpec([ChildSpec("sound", lambda _: Sound()), *children])


def reason(system: System) -> str | None:
    return why_unwell(system.snapshot(), system.unix_now())


async def test_a_sound_tree_is_well() -> None:
    """Running and suspended actors give no reason."""
    async with open_system(spec()) as system:
        system.suspend("/sound")

        assert reason(system) is None


async def test_a_stuck_actor_is_a_reason(autojump_clock: MockClock) -> None:
    """Nothing in the process can end it."""
    let_go = trio.Event()
    async with open_system(spec(ChildSpec("stuck", lambda _: Shielded(let_go))), stuck_after=1.0) as system:
        system.ref("/stuck").tell("hang")
        await trio.sleep(1)
        system.kill("/stuck")
        await trio.sleep(2)
        try:
            assert reason(system) == "/stuck is stuck"
        finally:
            let_go.set()


@pytest.mark.parametrize(("down_for_s", "said"), [(DOWN_FOR_S - 5, False), (DOWN_FOR_S + 5, True)])
async def test_being_down_for_long_is_a_reason(autojump_clock: MockClock, down_for_s: float, said: bool) -> None:
    """A restart takes time; one that has not ended after a minute will not."""
    starts = 0

    def flaky(_: object) -> Actor:
        nonlocal starts
        starts += 1
        return Sound() if starts == 1 else CannotStart()

    slow = Backoff(minimum=1000.0, maximum=1000.0, jitter=False)
    child = ChildSpec("flaky", flaky, backoff=slow)
    async with open_system(SupervisorSpec([child], intensity=Intensity(5, 10_000.0))) as system:
        system.kill("/flaky")
        await trio.sleep(down_for_s)

        assert (reason(system) == f"/flaky is restarting for more than {DOWN_FOR_S:g} s") is said
