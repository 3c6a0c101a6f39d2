"""Names."""

from __future__ import annotations

import pytest
from trio.testing import wait_all_tasks_blocked

from supervisor import ChildSpec, DynamicSupervisorSpec, Intensity, Restart, SupervisorSpec, open_system
from supervisor.errors import ActorStopped, NameTaken, NoSuchActor, TooMany
from supervisor.running.registry import MAX_NAMES
from tests.supervisor.otp.kit import open_simple
from tests.supervisor.probes import Journal, Ping, probe
from tests.support.work import lines_run


def pair() -> SupervisorSpec:
    return SupervisorSpec([probe("a"), probe("b")], intensity=Intensity(99, 1.0))


async def test_a_name_leads_to_its_actor_until_it_is_given_back() -> None:
    """register, whereis, unregister; registering again is no error, taking another's name is."""
    async with open_system(pair()) as system:
        a, b = system.ref("/a"), system.ref("/b")
        system.register("first", a)
        system.register("first", a)
        assert system.whereis("first") is a
        with pytest.raises(NameTaken, match="the name 'first' is taken by /a"):
            system.register("first", b)
        system.unregister("first")
        system.register("first", b)

        assert system.whereis("first") is b
        assert system.whereis("nobody") is None
        with pytest.raises(NoSuchActor):
            system.unregister("nobody")


async def test_a_name_holds_through_restarts_and_ends_with_its_place() -> None:
    """A crash leaves the name alone; when a child is forgotten, all its names are free."""
    async with open_simple(intensity=Intensity(9, 1.0)) as sup:
        ref = await sup.ref.start_child(probe("a", restart=Restart.TRANSIENT))
        for name in ("one", "two"):
            sup.system.register(name, ref)
        await sup.kill("a")
        assert sup.system.whereis("one") is ref
        await sup.ref.terminate_child("a")

        assert [sup.system.whereis(name) for name in ("one", "two")] == [None, None]
        with pytest.raises(ActorStopped, match="/sup/a is gone"):
            sup.system.register("one", ref)


async def test_an_actor_has_a_limited_number_of_names() -> None:
    """One more than the limit is refused."""
    async with open_system(pair()) as system:
        for number in range(MAX_NAMES):
            system.register(f"n{number}", system.ref("/a"))
        with pytest.raises(TooMany, match=f"/a has {MAX_NAMES} names, which is the limit"):
            system.register("one more", system.ref("/a"))

        assert system.whereis("one more") is None


async def end_all(count: int) -> int:
    """Lines that run to end ``count`` actors that have a name each."""
    spec = SupervisorSpec([ChildSpec("dyn", DynamicSupervisorSpec())])
    async with open_system(spec, on_event=Journal().on_event) as system:
        dyn = system.supervisor("/dyn")
        for number in range(count):
            system.register(f"n{number}", await dyn.start_child(probe(f"c{number}", restart=Restart.TEMPORARY)))
        with lines_run() as lines:
            for number in range(count):
                system.kill(f"/dyn/c{number}")
            await wait_all_tasks_blocked()
        assert system.whereis("n0") is None
        return lines.count


@pytest.mark.slow
async def test_ending_actors_frees_their_names_in_linear_time() -> None:
    """Ten times the named actors take about ten times the work to end, not a hundred times (triotp scans all names)."""
    few, many = await end_all(50), await end_all(500)

    assert 9 < many / few < 12


async def test_a_name_is_usable_from_the_outside() -> None:
    """What whereis returns can be asked."""
    async with open_system(pair()) as system:
        system.register("it", system.ref("/b"))
        ref = system.whereis("it")

        assert ref is not None
        assert await ref.ask(Ping()) == 1
