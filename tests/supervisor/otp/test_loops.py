"""OTP's supervisor suite, names and restart loops: each test bears the name of its case.

OTP's loops hang in a start that takes long and fails; ours hang there too, and in the back-off between two tries.
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import Actor, Backoff, ChildSpec, Context, Intensity, Strategy, SupervisorSpec, open_system
from supervisor.errors import AlreadyStarted, ChildRestarting, ChildRunning
from tests.supervisor.otp.kit import Sup, Switch, open_simple, open_sup
from tests.supervisor.probes import Journal, Ping, Probe, probe

PATIENT = Backoff(initial=60.0, minimum=60.0, maximum=60.0, jitter=False)
FORGIVING = Intensity(1000, 1.0)


class Hanging:
    """Starts well the first time; later starts take an hour and fail."""

    def __init__(self) -> None:
        self.starts = 0

    def start(self, context: Context) -> Actor:
        self.starts += 1
        return Probe(context) if self.starts == 1 else SlowFailure()

    def spec(self, child_id: str) -> ChildSpec:
        return ChildSpec(child_id, self.start)


class SlowFailure(Actor):
    async def started(self) -> None:
        await trio.sleep(3600)
        raise RuntimeError("after all that")


async def test_simple_global_supervisor() -> None:
    """A name leads to the actor that lives now: after kills of it and of its supervisor, after terminate and restart."""
    root = SupervisorSpec([ChildSpec("sup", SupervisorSpec([probe("server")], intensity=FORGIVING))])
    async with open_system(root, on_event=Journal().on_event) as system:
        system.register("server", system.ref("/sup/server"))
        incarnations = []
        for path in ("/sup/server", "/sup", "/sup/server"):
            system.kill(path)
            await wait_all_tasks_blocked()
            ref = system.whereis("server")
            assert ref is not None
            incarnations.append(await ref.ask(Ping()))
        await system.supervisor("/sup").terminate_child("server")
        ref = await system.supervisor("/sup").restart_child("server")

        assert incarnations == [2, 3, 4]
        assert system.whereis("server") is ref
        assert await ref.ask(Ping()) == 5


async def test_hanging_restart_loop() -> None:
    """While a restart hangs the supervisor answers, and terminate_child ends the loop."""
    hanging = Hanging()
    async with open_sup([hanging.spec("a"), probe("b")], intensity=FORGIVING) as sup:
        await sup.kill("a")

        assert await sup.states() == {"a": "starting", "b": "running"}
        with pytest.raises(AlreadyStarted):
            await sup.ref.start_child(hanging.spec("a"))
        with pytest.raises(ChildRunning):
            await sup.ref.restart_child("a")
        with pytest.raises(ChildRunning):
            await sup.ref.delete_child("a")
        await sup.ref.terminate_child("a")
        assert (await sup.states(), await sup.child("b").ask(Ping())) == ({"a": "stopped", "b": "running"}, 1)


async def test_hanging_restart_loop_in_backoff(autojump_clock: MockClock) -> None:
    """The same while the restart waits: it shows as restarting, and can be terminated."""
    switch = Switch()
    async with open_sup([switch.spec("a", backoff=PATIENT), probe("b")], intensity=FORGIVING) as sup:
        await sup.kill("a")

        assert await sup.states() == {"a": "restarting", "b": "running"}
        with pytest.raises(AlreadyStarted):
            await sup.ref.start_child(switch.spec("a"))
        with pytest.raises(ChildRestarting):
            await sup.ref.restart_child("a")
        with pytest.raises(ChildRestarting):
            await sup.ref.delete_child("a")
        await sup.ref.terminate_child("a")
        await trio.sleep(1000)
        assert (await sup.states(), switch.attempts) == ({"a": "stopped", "b": "running"}, 1)


async def test_hanging_restart_loop_stop() -> None:
    """The supervisor can be stopped while a restart hangs."""
    async with open_sup([Hanging().spec("a"), probe("b")], intensity=FORGIVING) as sup:
        await sup.kill("a")
        await stop(sup)

    assert sup.reason == "shutdown"


async def test_hanging_restart_loop_rest_for_one() -> None:
    """Under rest_for_one the children after the hanging one wait for it, those before run on."""
    children = [probe("a"), Hanging().spec("b"), probe("c")]
    async with open_sup(children, strategy=Strategy.REST_FOR_ONE, intensity=FORGIVING) as sup:
        await sup.kill("b")
        assert await sup.states() == {"a": "running", "b": "starting", "c": "restarting"}
        assert await sup.incarnations() == {"a": 1}
        with pytest.raises(ChildRestarting):
            await sup.ref.restart_child("c")
        await sup.ref.terminate_child("b")
        await wait_all_tasks_blocked()

        assert await sup.states() == {"a": "running", "b": "stopped", "c": "running"}
        await stop(sup)

    assert sup.reason == "shutdown"


async def test_hanging_restart_loop_rest_for_one_in_backoff(autojump_clock: MockClock) -> None:
    """The same while the restart waits; when the wait is over all of them start, in order."""
    switch = Switch()
    journal = Journal()
    children = [probe("a", journal), switch.spec("b", backoff=PATIENT), probe("c", journal)]
    async with open_sup(children, strategy=Strategy.REST_FOR_ONE, intensity=FORGIVING) as sup:
        await sup.kill("b")
        assert await sup.states() == {"a": "running", "b": "restarting", "c": "restarting"}
        await trio.sleep(61)

        assert await sup.incarnations() == {"a": 1, "b": 2, "c": 2}
        assert journal.lines == ["start a", "start c", "stop c shutdown", "start c"]


async def test_hanging_restart_loop_simple() -> None:
    """Under a dynamic supervisor the hanging child is reached by its id, and terminating it forgets it."""
    async with open_simple(intensity=FORGIVING) as sup:
        await sup.ref.start_child(Hanging().spec("a"))
        await sup.ref.start_child(probe("b"))
        await sup.kill("a")
        assert await sup.states() == {"a": "starting", "b": "running"}
        with pytest.raises(ChildRunning):
            await sup.ref.restart_child("a")
        await sup.ref.terminate_child("a")

        assert await sup.states() == {"b": "running"}
        await stop(sup)

    assert sup.reason == "shutdown"


async def stop(sup: Sup) -> None:
    await sup.system.supervisor("/").terminate_child("sup")
