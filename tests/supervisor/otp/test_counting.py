"""OTP's supervisor suite, counting, memory and scale: each test bears the name of its case."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import (
    NORMAL,
    Backoff,
    ChildSpec,
    Context,
    Intensity,
    Restart,
    Strategy,
    SupervisorSpec,
)
from supervisor.errors import AlreadyPresent
from tests.supervisor.otp.kit import ABNORMAL, Switch, open_simple, open_sup
from tests.supervisor.probes import Probe, probe
from tests.support.work import lines_run


@pytest.mark.slow
async def test_count_children() -> None:
    """1,000 and then 2,000 dynamic actors: which and count agree, and come back to 0 when all are gone."""
    async with open_simple() as sup:
        for expected in (1000, 2000):
            for number in range(expected - 1000, expected):
                await sup.ref.start_child(probe(f"c{number}", restart=Restart.TEMPORARY))
            assert await sup.counts() == [expected, expected, 0, expected]
            assert len(sup.ref.which_children()) == expected
        for number in range(2000):
            sup.system.kill(f"/sup/c{number}")
        await wait_all_tasks_blocked()

        assert await sup.counts() == [0, 0, 0, 0]


@pytest.mark.slow
async def test_count_children_supervisor() -> None:
    """The same with children that are supervisors."""
    async with open_simple() as sup:
        for number in range(1000):
            below = SupervisorSpec([])
            await sup.ref.start_child(ChildSpec(f"c{number}", below, restart=Restart.TEMPORARY))
        assert await sup.counts() == [1000, 1000, 1000, 0]
        for number in range(1000):
            sup.system.kill(f"/sup/c{number}")
        await wait_all_tasks_blocked()

        assert await sup.counts() == [0, 0, 0, 0]


async def test_count_restarting_children(autojump_clock: MockClock) -> None:
    """Children in a loop of failing restarts count as specs and workers, not as active, until they are back."""
    switch = Switch()
    patient = Backoff(initial=1.0, minimum=1.0, maximum=1.0, jitter=False)
    async with open_simple(intensity=Intensity(1000, 1.0)) as sup:
        for child_id in "abc":
            await sup.ref.start_child(switch.spec(child_id, backoff=patient))
        switch.mode = "fail"
        for child_id in "ab":
            sup.system.kill(sup.path(child_id))
        await wait_all_tasks_blocked()
        assert (await sup.counts(), await sup.states()) == (
            [3, 1, 0, 3],
            {"a": "restarting", "b": "restarting", "c": "running"},
        )

        switch.mode = "ok"
        await trio.sleep(1.5)
        assert await sup.counts() == [3, 3, 0, 3]
        for child_id in "abc":
            await sup.ref.terminate_child(child_id)
        assert await sup.counts() == [0, 0, 0, 0]


@pytest.mark.parametrize("strategy", list(Strategy))
async def test_do_not_save_start_parameters_for_temporary_children(strategy: Strategy) -> None:
    """The start parameters of a temporary child are not retained after its end, under no strategy."""

    class Heavy:
        pass

    def spec(child_id: str, heavy: Heavy) -> ChildSpec:
        def start(context: Context) -> Probe:
            assert heavy is not None
            return Probe(context)

        return ChildSpec(child_id, start, restart=Restart.TEMPORARY)

    async with open_sup(strategy=strategy) as sup:
        refs = [await sup.ref.start_child(spec(f"c{number}", Heavy())) for number in range(10)]
        for number in range(10):
            await sup.kill(f"c{number}")
        gc.collect()

        assert len(refs) == 10
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Heavy)]


async def test_do_not_save_child_specs_for_temporary_children() -> None:
    """After any end the id of a temporary child is free; a transient one's is not."""
    temporary = probe("a", restart=Restart.TEMPORARY)
    async with open_sup() as sup:

        async def by_kill() -> None:
            await sup.kill("a")

        async def normally() -> None:
            await sup.end("a", NORMAL)

        async def by_crash() -> None:
            await sup.end("a", ABNORMAL)

        async def by_request() -> None:
            await sup.ref.terminate_child("a")

        endings: tuple[Callable[[], Awaitable[None]], ...] = (by_kill, normally, by_crash, by_request)
        for end in endings:
            await sup.ref.start_child(temporary)
            await end()
            assert await sup.counts() == [0, 0, 0, 0]

        transient = probe("t", restart=Restart.TRANSIENT)
        await sup.ref.start_child(transient)
        await sup.end("t", NORMAL)
        with pytest.raises(AlreadyPresent):
            await sup.ref.start_child(transient)


async def terminate_all(count: int) -> int:
    """Lines that run to terminate ``count`` dynamic children one by one."""
    async with open_simple() as sup:
        for number in range(count):
            await sup.ref.start_child(probe(f"c{number}", restart=Restart.TEMPORARY))
        with lines_run() as lines:
            for number in range(count):
                await sup.ref.terminate_child(f"c{number}")
        return lines.count


@pytest.mark.slow
async def test_simple_one_for_one_scale_many_temporary_children() -> None:
    """Ten times the children take about ten times the work to terminate one by one."""
    few, many = await terminate_all(50), await terminate_all(500)

    assert 9 < many / few < 12


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_temporary_bystander(strategy: Strategy) -> None:
    """A temporary child that ends over a sibling's crash is not restarted, and does no harm."""
    async with open_sup([probe("a"), probe("b", restart=Restart.TEMPORARY)], strategy=strategy) as sup:
        await sup.kill("a")

        assert (sup.is_alive, await sup.incarnations()) == (True, {"a": 2})
