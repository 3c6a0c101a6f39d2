"""A seed repeats a run: all random choices depend on the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from tests.chaos.nemesis import FAULTS, History, Stage, chaos_run
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.seeds import chosen_seed, pick
from tests.support.site import Site

SEED = 962302


def stage() -> Stage:
    """A stage without anything to break."""
    return Stage(cast("Site", None), cast("Api", None), cast("RemoteLoopback", None), (), Random(SEED))


@pytest.mark.parametrize("others", [range(1), range(3), range(1000)])
def test_a_pick_takes_the_same_from_the_generator(others: Sequence[int]) -> None:
    """However many options there are, the draws that follow are the same."""
    random, same = Random(SEED), Random(SEED)
    pick(random, others)
    same.random()

    assert random.random() == same.random()


async def test_the_same_deeds_whatever_they_find(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which faults come, and when, does not change when one of them finds more options than the last time."""
    histories: list[list[tuple[float, str]]] = []
    for draws in (0, 7):

        async def deed(stage: Stage, draws: int = draws) -> str:
            await trio.lowlevel.checkpoint()
            return str([stage.random.random() for _ in range(draws)])

        for name in FAULTS:
            monkeypatch.setitem(FAULTS, name, deed)
        history, began = History(), trio.current_time()
        await chaos_run(stage(), history, faults=20)
        histories.append([(round(at - began, 6), name) for at, name, _ in history.faults])

    assert histories[0] == histories[1]
    assert len({name for _, name in histories[0]}) > 5


def test_the_seed_of_the_command_line_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make chaos SEED=7` gives 7; without one every run has a seed of its own."""
    monkeypatch.setenv("CHAOS_SEED", "7")
    assert chosen_seed() == 7

    monkeypatch.setenv("CHAOS_SEED", "")
    assert chosen_seed() in range(1_000_000)
