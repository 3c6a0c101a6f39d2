"""OTP's supervisor suite, the restart groups: each test bears the name of its case."""

from __future__ import annotations

import functools
import gc

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import NORMAL, ChildSpec, Context, Intensity, Restart, Strategy
from supervisor.errors import ActorStopped
from tests.supervisor.otp.kit import Switch, open_simple, open_sup
from tests.supervisor.otp.test_sup_stop import Sticky
from tests.supervisor.probes import Ping, Probe, probe

ALL = Strategy.ONE_FOR_ALL
REST = Strategy.REST_FOR_ONE


async def test_multiple_restarts(autojump_clock: MockClock) -> None:
    """Crashes further apart than the window never spend the budget."""
    async with open_sup([probe("a")], intensity=Intensity(1, 1.0)) as sup:
        for _ in range(5):
            await sup.kill("a")
            await trio.sleep(1.1)

        assert await sup.incarnations() == {"a": 6}


async def test_one_for_one() -> None:
    """Only the child that crashed is replaced; one crash more than the intensity ends the supervisor."""
    async with open_sup([probe("a"), probe("b")]) as sup:
        await sup.kill("a")
        assert await sup.incarnations() == {"a": 2, "b": 1}
        await sup.kill("b")

        assert (sup.is_alive, sup.reason) == (False, "shutdown")


async def test_one_for_one_escalation() -> None:
    """A restart that keeps failing spends the budget, and the healthy sibling ends with the supervisor."""
    switch = Switch()
    async with open_sup([switch.spec("a"), probe("b")], intensity=Intensity(4, 1.0)) as sup:
        switch.mode = "fail"
        await sup.kill("a")

        assert (sup.is_alive, switch.attempts) == (False, 5)
        assert sup.ends("/sup/b") == ["shutdown"]


async def test_one_for_all() -> None:
    """A crash of one ends and restarts all."""
    async with open_sup([probe("a"), probe("b"), probe("c")], strategy=ALL) as sup:
        await sup.kill("b")
        assert await sup.incarnations() == {"a": 2, "b": 2, "c": 2}
        await sup.kill("a")

        assert (sup.is_alive, sup.reason) == (False, "shutdown")


async def test_one_for_all_escalation() -> None:
    """A sibling that cannot be restarted spends the budget."""
    switch = Switch()
    async with open_sup([probe("a"), switch.spec("b")], strategy=ALL, intensity=Intensity(4, 1.0)) as sup:
        switch.mode = "fail"
        await sup.kill("a")

        assert (sup.is_alive, switch.attempts) == (False, 5)


async def test_one_for_all_other_child_fails_restart() -> None:
    """When a sibling fails to start in the group's restart, those started already are stopped before the next try."""
    switch = Switch()
    async with open_sup([probe("a"), switch.spec("b"), probe("c")], strategy=ALL, intensity=Intensity(4, 1.0)) as sup:
        failures = 0

        def fail_once(event: object) -> None:
            nonlocal failures
            if getattr(event, "path", "") == "/sup/b" and getattr(event, "kind", "") == "crashed":
                failures += 1
                switch.mode = "ok"

        sup.system.subscribe(fail_once)
        switch.mode = "fail"
        await sup.kill("c")

        assert failures == 1
        assert await sup.incarnations() == {"a": 3, "b": 3, "c": 2}
        assert sup.ends("/sup/a") == ["shutdown", "shutdown"]


async def test_simple_one_for_one() -> None:
    """Dynamic children restart alone; spending the budget ends the supervisor with shutdown."""
    async with open_simple() as sup:
        for child_id in "ab":
            await sup.ref.start_child(probe(child_id))
        await sup.kill("a")
        assert await sup.incarnations() == {"a": 2, "b": 1}
        await sup.kill("b")

        assert (sup.is_alive, sup.reason) == (False, "shutdown")


async def test_simple_one_for_one_shutdown(autojump_clock: MockClock) -> None:
    """Dynamic children stop together: it takes the longest of their times, not the sum."""
    async with open_simple() as sup:
        for seconds in (1.0, 2.0, 3.0):
            await sup.ref.start_child(ChildSpec(f"c{seconds:g}", lambda _: Sticky(), shutdown=seconds))

    assert trio.current_time() == 3.0


async def test_simple_one_for_one_extra() -> None:
    """A dynamic child restarts by the start function it was added with, with all its arguments."""
    started: list[str] = []

    def start(context: Context, extra: str = "extra") -> Probe:
        started.append(extra)
        return Probe(context)

    async with open_simple() as sup:
        await sup.ref.start_child(ChildSpec("a", start))
        await sup.kill("a")

    assert started == ["extra", "extra"]


async def test_simple_one_for_one_escalation() -> None:
    """The failing restart of one dynamic child spends the shared budget; its sibling ends too."""
    switch = Switch()
    async with open_simple(intensity=Intensity(4, 1.0)) as sup:
        await sup.ref.start_child(switch.spec("a"))
        await sup.ref.start_child(probe("b"))
        switch.mode = "fail"
        await sup.kill("a")

        assert (sup.is_alive, switch.attempts) == (False, 5)
        assert sup.ends("/sup/b") == ["shutdown"]


async def test_simple_one_for_one_corruption() -> None:
    """After a temporary child's crash nothing of it, nor of later ones, is retained."""

    class Heavy:
        pass

    def start(_: Heavy, context: Context) -> Probe:
        return Probe(context)

    async with open_simple() as sup:
        for number in range(20):
            heavy = Heavy()
            spec = ChildSpec(f"c{number}", functools.partial(start, heavy), restart=Restart.TEMPORARY)
            await sup.ref.start_child(spec)
            await sup.kill(spec.id)
            del heavy, spec
        gc.collect()

        assert not [thing for thing in gc.get_objects() if isinstance(thing, Heavy)]


@pytest.mark.parametrize("restart", [Restart.TRANSIENT, Restart.PERMANENT])
async def test_simple_one_for_one_restart_ignore(restart: Restart) -> None:
    """A dynamic child that ignores its restart is forgotten, and the supervisor goes on."""
    switch = Switch()
    async with open_simple() as sup:
        ref = await sup.ref.start_child(switch.spec("a", restart=restart))
        switch.mode = "ignore"
        await sup.kill("a")

        assert (sup.is_alive, await sup.counts()) == (True, [0, 0, 0, 0])
        with pytest.raises(ActorStopped):
            await ref.ask(Ping())


async def test_rest_for_one() -> None:
    """Later siblings of the child that crashed are stopped and restarted with it, earlier ones untouched."""
    async with open_sup([probe("a"), probe("b"), probe("c")], strategy=REST) as sup:
        await sup.kill("b")
        assert await sup.incarnations() == {"a": 1, "b": 2, "c": 2}
        await sup.kill("b")

        assert (sup.is_alive, sup.reason) == (False, "shutdown")


async def test_rest_for_one_escalation() -> None:
    """A later sibling that cannot be restarted spends the budget."""
    switch = Switch()
    async with open_sup([probe("a"), switch.spec("b")], strategy=REST, intensity=Intensity(4, 1.0)) as sup:
        switch.mode = "fail"
        await sup.kill("a")

        assert (sup.is_alive, switch.attempts) == (False, 5)


async def test_rest_for_one_other_child_fails_restart() -> None:
    """When a later sibling fails to start, the next try begins with it: those before are not restarted again."""
    switch = Switch()
    async with open_sup([probe("a"), switch.spec("b"), probe("c")], strategy=REST, intensity=Intensity(4, 1.0)) as sup:

        def fail_once(event: object) -> None:
            if getattr(event, "path", "") == "/sup/b" and getattr(event, "kind", "") == "crashed":
                switch.mode = "ok"

        sup.system.subscribe(fail_once)
        switch.mode = "fail"
        await sup.kill("a")

        assert await sup.incarnations() == {"a": 2, "b": 3, "c": 2}


async def test_a_normal_end_counts_against_the_intensity_like_any_restart() -> None:
    """A permanent child that keeps ending normally spends the budget too."""
    async with open_sup([probe("a")], intensity=Intensity(1, 5.0)) as sup:
        await sup.end("a", NORMAL)
        assert await sup.incarnations() == {"a": 2}
        await sup.end("a", NORMAL)
        await wait_all_tasks_blocked()

        assert sup.is_alive is False
