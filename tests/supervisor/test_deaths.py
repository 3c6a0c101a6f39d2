"""S1: actors die at random in every way there is, while others have them write things down."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import pytest
import trio
from trio.testing import MockClock

from supervisor import (
    Actor,
    ActorSnapshot,
    Backoff,
    ChildSpec,
    ExitReason,
    Intensity,
    LifecycleEvent,
    Request,
    SupervisorSpec,
    System,
    open_system,
)
from supervisor.errors import SupervisorError
from tests.supervisor.probes import Boom
from tests.support.clock import seeded_scheduling

ACTORS: Final = 50
SETTLE_S: Final = 60
WORKED_OFF_WITHIN_S: Final = 3600
WAYS: Final = ("raise", "group", "return", "cleanup", "helper", "hang", "kill")
WRITE_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Write(Request[int]):
    """The actor writes it down and then acknowledges it."""

    number: int


@dataclass(slots=True)
class Story:
    """What happened in one run."""

    deaths: Counter[str] = field(default_factory=Counter[str])
    events: Counter[str] = field(default_factory=Counter[str])
    written: list[int] = field(default_factory=list[int])
    acknowledged: set[int] = field(default_factory=set[int])
    children: Sequence[ActorSnapshot] = ()
    """All actors, a minute of their time after the last death."""
    trace: Any = field(default_factory=hashlib.sha256)

    def note(self, event: LifecycleEvent) -> None:
        """One more event."""
        self.events[event.kind] += 1
        self.trace.update(f"{event.time:.6f} {event.kind} {event.path} {event.incarnation} {event.reason}\n".encode())


class Mortal(Actor):
    """Ends in each of the ways there are, and writes down the messages it gets until then."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.breaks_in_cleanup = False

    async def receive(self, message: Any) -> Any:
        if isinstance(message, Write):
            self.story.written.append(message.number)
            await trio.sleep(0.001)  # it may die between the write and its acknowledgement
            return message.number
        self.story.deaths[message] += 1
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
            case _:
                await trio.sleep_forever()
        return None

    async def stopping(self, reason: ExitReason) -> None:
        if self.breaks_in_cleanup:
            raise Boom("in the clean-up")

    async def _fail(self) -> None:
        raise Boom("in a task of its own")


async def massacre(seed: int, orders: int) -> Story:
    """Order that many deaths and writes; then wait a minute without any."""
    dice, story = Random(seed), Story()
    backoff = Backoff(minimum=0.01, maximum=1)
    spec = [ChildSpec(f"a{number}", lambda _: Mortal(story), backoff=backoff) for number in range(ACTORS)]
    tree = SupervisorSpec(spec, intensity=Intensity(1_000_000, 1.0))
    async with open_system(tree, on_event=story.note, seed=seed) as system:
        async with trio.open_nursery() as nursery:
            for number in range(orders):
                nursery.start_soon(_write, system, f"/a{dice.randrange(ACTORS)}", number, story)
                _order(system, f"/a{dice.randrange(ACTORS)}", dice.choice(WAYS), story)
                if dice.random() < 0.3:
                    await trio.sleep(dice.choice((0.0, 0.001, 0.02)))
        await _settle(system)
        story.children = system.snapshot().children
    return story


def _order(system: System, path: str, way: str, story: Story) -> None:
    if way == "kill":
        story.deaths["kill"] += system.kill(path)
    else:
        system.ref(path).tell(way)


async def _write(system: System, path: str, number: int, story: Story) -> None:
    try:
        story.acknowledged.add(await system.ref(path).ask(Write(number), timeout=WRITE_TIMEOUT_S))
    except SupervisorError:
        await trio.lowlevel.checkpoint()  # not acknowledged


async def _settle(system: System) -> None:
    """Wait until every order is carried out, and a minute more."""
    for _ in range(WORKED_OFF_WITHIN_S):
        await trio.sleep(1)
        children = system.snapshot().children
        for child in children:
            if child.current_message == "str":
                system.kill(child.path)  # a hanging actor never ends by itself
        if not any(child.mailbox_depth or child.current_message for child in children):
            break
    await trio.sleep(SETTLE_S)


def told(seed: int, orders: int) -> Story:
    """The run of a seed."""
    with seeded_scheduling(seed):
        return trio.run(massacre, seed, orders, clock=MockClock(autojump_threshold=0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "orders"),
    [
        (range(1, 4), 2_000),
        pytest.param(range(1, 11), 10_000, marks=pytest.mark.long),
        pytest.param(range(1, 101), 10_000, marks=pytest.mark.chaos),
    ],
    ids=["short", "ten-seeds", "hundred-seeds"],
)
def test_s1_after_thousands_of_deaths_of_every_kind_everyone_is_back(seeds: range, orders: int) -> None:
    """Each end is one restart; a minute later all run; no acknowledged write is missing, none was done twice; a seed has one trace."""
    ended = acknowledged = 0
    for seed in seeds:
        story, again = told(seed, orders), told(seed, orders)
        events = story.events

        assert story.trace.digest() == again.trace.digest(), f"seed {seed}"
        assert {(child.state, child.mailbox_depth) for child in story.children} == {("running", 0)}, f"seed {seed}"
        assert events["crashed"] + events["stopped"] == events["restarting"] == events["restarted"], f"seed {seed}"
        assert sum(child.restarts for child in story.children) == events["restarted"] > orders / 2, f"seed {seed}"
        assert all(story.deaths[way] > 0 for way in WAYS), f"seed {seed}: {story.deaths}"
        assert len(story.written) == len(set(story.written)), f"seed {seed}: a write was done twice"
        assert story.acknowledged <= set(story.written), f"seed {seed}: an acknowledged write is missing"
        ended += events["restarted"]
        acknowledged += len(story.acknowledged)
    print(
        f"S1: seeds {seeds[0]} to {seeds[-1]}, {orders:,} deaths ordered of {ACTORS} actors each: {ended:,} deaths, as many restarts; "
        f"{acknowledged:,} writes acknowledged, 0 lost; 0 down {SETTLE_S} s later; the second run of each seed left the same trace"
    )
