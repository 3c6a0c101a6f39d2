"""One seed, one trace: the core depends only on its inputs, trio's random generator and its own."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from supervisor import (
    Actor,
    Backoff,
    ChildSpec,
    DynamicSupervisorSpec,
    Intensity,
    LifecycleEvent,
    Strategy,
    SupervisorSpec,
    open_system,
)
from tests.support.clock import seeded_scheduling

KILLS = 10_000


class Gossip(Actor):
    """Passes a number on to the next actor until it has become 0."""

    def __init__(self, neighbour: str) -> None:
        self.neighbour = neighbour

    async def receive(self, message: Any) -> Any:
        if message > 0:
            self.context.after(0.01 * message, 0)
            self.context.ref_to(self.neighbour).tell(message - 1)
        return None


def tree() -> SupervisorSpec:
    """Fifty actors below supervisors of each kind, some with a back-off."""
    forgiving = Intensity(1_000_000, 1.0)

    def actors(prefix: str, count: int) -> list[ChildSpec]:
        return [
            ChildSpec(
                f"a{number}",
                lambda context, prefix=prefix, count=count, number=number: Gossip(f"{prefix}/a{(number + 1) % count}"),  # type: ignore[misc]
                backoff=Backoff(minimum=0.01, maximum=0.1) if number % 3 == 0 else None,
            )
            for number in range(count)
        ]

    return SupervisorSpec(
        [
            ChildSpec("one", SupervisorSpec(actors("/one", 20), intensity=forgiving)),
            ChildSpec("all", SupervisorSpec(actors("/all", 5), intensity=forgiving, strategy=Strategy.ONE_FOR_ALL)),
            ChildSpec("rest", SupervisorSpec(actors("/rest", 15), intensity=forgiving, strategy=Strategy.REST_FOR_ONE)),
            ChildSpec("dyn", DynamicSupervisorSpec(intensity=forgiving)),
        ],
        intensity=forgiving,
    )


async def massacre(seed: int) -> list[str]:
    """Kill at random, pass messages at random; return what happened, line by line."""
    trace: list[str] = []

    def note(event: LifecycleEvent) -> None:
        trace.append(f"{event.time:.6f} {event.kind} {event.path} {event.incarnation} {event.delay} {event.reason}")

    dice = Random(seed)
    async with open_system(tree(), on_event=note, seed=seed) as system:
        dyn = system.supervisor("/dyn")
        for number in range(10):
            await dyn.start_child(ChildSpec(f"a{number}", lambda _: Gossip("/one/a0")))
        paths = [child.path for supervisor in system.snapshot().children for child in supervisor.children]
        assert len(paths) == 50
        for _ in range(KILLS):
            system.ref(dice.choice(paths)).tell(dice.randrange(4))
            system.kill(dice.choice(paths))
            if dice.random() < 0.5:
                await trio.sleep(dice.choice((0.0, 0.001, 0.02)))
    return trace


def run(seed: int) -> list[str]:
    with seeded_scheduling(seed):
        return trio.run(massacre, seed, clock=MockClock(autojump_threshold=0))


@pytest.mark.slow
def test_s1_ten_thousand_kills_over_fifty_actors_leave_the_same_trace_twice() -> None:
    """Random kills and messages with one seed: the same events, times, delays and reasons."""
    first, second = run(20261121), run(20261121)

    assert first == second
    crashes = sum(" crashed " in line for line in first)
    assert crashes > 2_000
    print(f"S1: {KILLS:,} kills ordered, {crashes:,} crashes, {len(first):,} events, the same twice")


@pytest.mark.slow
def test_s1_another_seed_leaves_another_trace() -> None:
    """The random generator matters: the equality of two runs is not that of two empty lists."""
    assert run(4711) != run(4712)
