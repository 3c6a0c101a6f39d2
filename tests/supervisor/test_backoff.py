"""Delays between restarts."""

from __future__ import annotations

from random import Random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from supervisor import Backoff, ChildSpec, Context, Intensity, SupervisorSpec, open_system
from tests.supervisor.otp.kit import Switch, open_sup
from tests.supervisor.probes import Journal, Ping, Probe, probe

BACKOFFS = st.builds(
    Backoff,
    initial=st.floats(0, 10),
    minimum=st.floats(0, 10),
    maximum=st.floats(10, 1000),
    factor=st.floats(1, 10),
    jitter=st.booleans(),
)


@given(BACKOFFS, st.integers(1, 10_000), st.integers())
def test_a_delay_lies_between_zero_and_its_ceiling(backoff: Backoff, attempt: int, seed: int) -> None:
    """Every delay is at least 0 and at most its ceiling, which is at most the maximum; without jitter it is the ceiling."""
    ceiling = backoff.ceiling(attempt)
    delay = backoff.delay(attempt, Random(seed))

    assert 0 <= delay <= ceiling <= backoff.maximum
    assert backoff.jitter or delay == ceiling


@given(BACKOFFS, st.integers(2, 1000))
def test_ceilings_never_fall(backoff: Backoff, attempt: int) -> None:
    """After the first, each attempt's ceiling is at least that of the one before."""
    assert backoff.ceiling(attempt + 1) >= backoff.ceiling(attempt)


def test_ceilings_grow_by_the_factor() -> None:
    """initial, minimum, minimum * factor … maximum."""
    backoff = Backoff(initial=0.5, minimum=1, maximum=10, factor=3)

    assert [backoff.ceiling(attempt) for attempt in range(1, 7)] == [0.5, 1, 3, 9, 10, 10]


def test_jitter_is_full() -> None:
    """Delays are spread over the whole range from 0 to the ceiling."""
    backoff = Backoff(minimum=100, maximum=100)
    random = Random(1)
    delays = [backoff.delay(2, random) for _ in range(1000)]

    assert min(delays) < 5
    assert max(delays) > 95
    assert 45 < sum(delays) / 1000 < 55


async def test_restarts_wait_for_the_backoff(autojump_clock: MockClock) -> None:
    """A child that crashes in each start is restarted after 0, 1, 2, 4 … seconds."""
    starts: list[float] = []

    def start(context: Context) -> Probe:
        starts.append(trio.current_time())
        if len(starts) > 1:
            raise RuntimeError
        return Probe(context)

    spec = ChildSpec("a", start, backoff=Backoff(jitter=False))
    async with open_system(
        SupervisorSpec([spec], intensity=Intensity(1000, 1.0)), on_event=Journal().on_event
    ) as system:
        system.kill("/a")
        await trio.sleep(16)

    assert starts == [0, 0, 1, 3, 7, 15]


async def test_a_quiet_time_resets_the_backoff(autojump_clock: MockClock) -> None:
    """An incarnation that ran for ``reset_after`` is followed by a first restart, one that did not by the next longer wait."""
    journal = Journal()
    spec = probe("a", backoff=Backoff(jitter=False, initial=0.5, reset_after=60))
    async with open_system(SupervisorSpec([spec], intensity=Intensity(9, 1.0)), on_event=journal.on_event) as system:
        for quiet in (1, 1, 61, 1):
            await trio.sleep(quiet)
            system.kill("/a")
            await system.ref("/a").ask(Ping(), timeout=100)

    assert [event.delay for event in journal.events if event.kind == "restarting"] == [0.5, 1, 0.5, 1]


async def test_a_child_that_waits_shows_as_restarting_with_its_delay(autojump_clock: MockClock) -> None:
    """The snapshot and the event of a back-off show the state and the delay."""
    switch = Switch()
    async with open_sup([switch.spec("a", backoff=Backoff(jitter=False, initial=30))]) as sup:
        await sup.kill("a")

        assert sup.system.snapshot("/sup/a").state == "restarting"
        event = sup.journal.events[-1]
        assert (event.kind, event.path, event.delay, event.restarts) == ("restarting", "/sup/a", 30, 1)


async def test_a_restart_by_request_ends_the_wait(autojump_clock: MockClock) -> None:
    """`System.restart` of a child in back-off starts it at once, and its back-off begins anew."""
    switch = Switch()
    async with open_sup([switch.spec("a", backoff=Backoff(jitter=False, initial=30))]) as sup:
        await sup.kill("a")
        await sup.system.restart("/sup/a")

        assert (await sup.incarnations(), trio.current_time()) == ({"a": 2}, 0)


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_seed_makes_jitter_repeatable(seed: int, autojump_clock: MockClock) -> None:
    """Two systems with one seed wait equally long."""

    async def delays() -> list[float | None]:
        journal = Journal()
        spec = probe("a", backoff=Backoff(minimum=1, maximum=100))
        async with open_system(
            SupervisorSpec([spec], intensity=Intensity(9, 1.0)), on_event=journal.on_event, seed=seed
        ) as system:
            for _ in range(4):
                system.kill("/a")
                await system.ref("/a").ask(Ping(), timeout=1000)
        return [event.delay for event in journal.events if event.kind == "restarting"]

    assert await delays() == await delays()
