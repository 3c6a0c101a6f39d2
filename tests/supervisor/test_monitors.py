"""Monitors and links."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import NORMAL, ActorRef, Backoff, ChildSpec, Down, Intensity, SupervisorSpec, System, open_system
from supervisor.errors import ActorCrashed
from tests.supervisor.probes import Crash, Journal, Ping, Probe, Run, Stop, nap, probe


def pair(**options: Any) -> SupervisorSpec:
    """Two actors and a supervisor."""
    children = [probe("a"), probe("b", **options), ChildSpec("sup", SupervisorSpec([]))]
    return SupervisorSpec(children, intensity=Intensity(99, 1.0))


async def do(ref: ActorRef, function: Callable[[Probe], Any]) -> Any:
    """Have an actor run a function."""
    return await ref.ask(Run(function))


async def downs(system: System, path: str = "/a") -> list[Down]:
    """The `Down` messages an actor has received."""
    await wait_all_tasks_blocked()
    return [
        message for message in await do(system.ref(path), lambda actor: actor.received) if isinstance(message, Down)
    ]


async def test_a_monitor_tells_once_of_the_end_of_an_incarnation() -> None:
    """One `Down` with path and reason, for the incarnation that was watched, not for the next."""
    async with open_system(pair(), on_event=Journal().on_event) as system:
        a, b = system.ref("/a"), system.ref("/b")
        monitor = await do(a, lambda actor: actor.context.monitor(b))
        b.tell(Crash("fell"))
        await wait_all_tasks_blocked()
        b.tell(Stop(NORMAL))

        (down,) = await downs(system)
        assert (down.ref, down.path, down.monitor, down.reason.kind) == (b, "/b", monitor, "crashed")
        assert down.reason.crash is not None
        assert down.reason.crash.text == "fell"


async def test_a_monitor_of_what_does_not_run_tells_at_once(autojump_clock: MockClock) -> None:
    """Stopped or waiting for its restart: reason noproc."""
    async with open_system(pair(backoff=Backoff(initial=60, jitter=False)), on_event=Journal().on_event) as system:
        system.kill("/b")
        await wait_all_tasks_blocked()
        await do(system.ref("/a"), lambda actor: actor.context.monitor(system.ref("/b")))

        assert [down.reason.kind for down in await downs(system)] == ["noproc"]


async def test_supervisors_can_be_monitored() -> None:
    """A supervisor's end is reported like an actor's."""
    async with open_system(pair(), on_event=Journal().on_event) as system:
        await do(system.ref("/a"), lambda actor: actor.context.monitor(system.ref("/sup")))
        system.kill("/sup")

        assert [(down.path, down.reason.kind) for down in await downs(system)] == [("/sup", "killed")]


async def test_a_cancelled_monitor_takes_back_what_is_queued(autojump_clock: MockClock) -> None:
    """After cancel() no `Down` is received, not even one that waits in the mailbox."""
    async with open_system(pair(), on_event=Journal().on_event) as system:
        a = system.ref("/a")
        monitor = await do(a, lambda actor: actor.context.monitor(system.ref("/b")))
        a.tell(nap(5))
        await wait_all_tasks_blocked()
        system.kill("/b")
        await wait_all_tasks_blocked()
        assert system.snapshot("/a").mailbox_depth == 1
        monitor.cancel()
        await trio.sleep(6)

        assert await downs(system) == []


async def test_a_monitor_ends_with_the_incarnation_that_made_it() -> None:
    """After the watcher's crash its next incarnation gets no message of it, and the watched one holds nothing of it."""
    async with open_system(pair(), on_event=Journal().on_event) as system:
        await do(system.ref("/a"), lambda actor: actor.context.monitor(system.ref("/b")))
        system.kill("/a")
        await system.ref("/a").ask(Ping())
        system.kill("/b")

        assert await downs(system) == []
        assert not system._node("/b").watchers


async def test_a_linked_crash_crashes_the_other() -> None:
    """An abnormal end of one ends the other, in either direction, and interrupts its handler; the report says why."""
    for crashed, other in (("/a", "/b"), ("/b", "/a")):
        async with open_system(pair(), on_event=Journal().on_event) as system:
            await do(system.ref("/a"), lambda actor: actor.context.link(actor.context.ref_to("/b")))
            async with trio.open_nursery() as nursery:

                async def busy(path: str = other, because: str = crashed) -> None:
                    with pytest.raises(ActorCrashed, match=f"LinkedActorEnded: linked {because} ended: killed"):
                        await system.ref(path).ask(nap(1000), timeout=2000)

                nursery.start_soon(busy)
                await wait_all_tasks_blocked()
                system.kill(crashed)

            assert await system.ref("/a").ask(Ping()) == 2
            assert await system.ref("/b").ask(Ping()) == 2


async def test_an_end_in_order_does_not_crash_the_other() -> None:
    """A linked actor that ends normally leaves the other alone, and the link is gone."""
    async with open_system(pair(), on_event=Journal().on_event) as system:
        await do(system.ref("/a"), lambda actor: actor.context.link(system.ref("/b")))
        system.ref("/b").tell(Stop(NORMAL))
        await wait_all_tasks_blocked()
        system.kill("/b")
        await system.ref("/b").ask(Ping())

        assert await system.ref("/a").ask(Ping()) == 1


async def test_trapping_exits_turns_them_into_messages() -> None:
    """An actor that traps exits receives a `Down`, after an end in order too."""
    async with open_system(pair(), on_event=Journal().on_event) as system:
        a = system.ref("/a")
        await do(a, lambda actor: actor.context.trap_exits())
        for end in (Crash(), Stop(NORMAL)):
            await do(a, lambda actor: actor.context.link(system.ref("/b")))
            system.ref("/b").tell(end)
            await wait_all_tasks_blocked()

        assert [down.reason.kind for down in await downs(system)] == ["crashed", "normal"]


async def test_unlinking_undoes_both_ends() -> None:
    """After unlink() the end of one does not affect the other."""
    async with open_system(pair(), on_event=Journal().on_event) as system:
        link = await do(system.ref("/a"), lambda actor: actor.context.link(system.ref("/b")))
        link.unlink()
        system.kill("/b")
        await system.ref("/b").ask(Ping())
        system.kill("/a")
        await system.ref("/a").ask(Ping())

        assert await system.ref("/b").ask(Ping()) == 2


async def test_what_cannot_be_linked_says_so() -> None:
    """Supervisors and actors that do not run are refused by name."""
    async with open_system(pair(), on_event=Journal().on_event) as system:
        with pytest.raises(ActorCrashed, match="NotSupported: /sup is a supervisor"):
            await do(system.ref("/a"), lambda actor: actor.context.link(system.ref("/sup")))
        await system.supervisor().terminate_child("b")
        with pytest.raises(ActorCrashed, match="ActorStopped: /b does not run"):
            await do(system.ref("/a"), lambda actor: actor.context.link(system.ref("/b")))
