"""What an operator can do at run time: kill, restart, suspend, look inside, trace."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import (
    Actor,
    ChildSpec,
    DynamicSupervisorSpec,
    Intensity,
    Refusal,
    SupervisorSpec,
    System,
    TraceEvent,
    open_system,
)
from supervisor.errors import (
    ActorCrashed,
    ActorStopped,
    AskTimeout,
    NoSuchActor,
    NotSupported,
    StartFailed,
)
from tests.supervisor.otp.kit import Switch, open_sup
from tests.supervisor.probes import Crash, Journal, Ping, Run, nap, probe


def one(journal: Journal | None = None, **options: Any) -> SupervisorSpec:
    return SupervisorSpec([probe("a", journal, **options)], intensity=Intensity(99, 1.0))


async def busy(system: System) -> None:
    """Have the actor sleep for a thousand seconds."""
    system.ref("/a").tell(nap(1000))
    await wait_all_tasks_blocked()


async def test_kill_ends_a_hung_handler(autojump_clock: MockClock) -> None:
    """A kill cancels the handler; the caller gets `ActorCrashed` with the reason at once, and the actor is restarted."""
    journal = Journal()
    async with open_system(one(journal), on_event=journal.on_event) as system, trio.open_nursery() as nursery:

        async def caller() -> None:
            with pytest.raises(ActorCrashed, match="/a crashed: Killed: it hung"):
                await system.ref("/a").ask(nap(1000), timeout=2000)

        nursery.start_soon(caller)
        await wait_all_tasks_blocked()
        assert system.kill("/a", "it hung") is True
        assert await system.ref("/a").ask(Ping()) == 2

        crash = system.snapshot("/a").last_crash
        assert crash is not None
        assert (crash.type, crash.text, crash.message_type) == ("Killed", "it hung", "Run")
        assert trio.current_time() == 0
    assert journal.lines == ["start a", "start a", "stop a shutdown"]


async def test_kill_of_an_idle_actor_calls_no_stopping() -> None:
    """A killed incarnation is not asked to clean up."""
    journal = Journal()
    async with open_system(one(journal), on_event=journal.on_event) as system:
        system.kill("/a")
        assert await system.ref("/a").ask(Ping()) == 2

    assert journal.lines == ["start a", "start a", "stop a shutdown"]


async def test_kill_of_a_start_in_progress(autojump_clock: MockClock) -> None:
    """An incarnation can be killed while it starts; that is a failed start."""

    class Slow(Actor):
        async def started(self) -> None:
            await trio.sleep(1000)

    async with open_system(SupervisorSpec([]), on_event=Journal().on_event) as system, trio.open_nursery() as nursery:

        async def start() -> None:
            with pytest.raises(StartFailed, match="killed: too slow"):
                await system.supervisor("/").start_child(ChildSpec("slow", lambda _: Slow()))

        nursery.start_soon(start)
        await wait_all_tasks_blocked()
        assert system.snapshot("/slow").state == "starting"
        system.kill("/slow", "too slow")


async def test_kill_of_what_does_not_run(autojump_clock: MockClock) -> None:
    """Killing a child that does not run changes nothing and says so."""
    async with open_system(one()) as system:
        await system.supervisor("/").terminate_child("a")

        assert system.kill("/a") is False
        with pytest.raises(NoSuchActor):
            system.kill("/b")


async def test_kill_of_a_supervisor_kills_all_below() -> None:
    """No further message is handled below a supervisor that is killed."""
    journal = Journal()
    inner = SupervisorSpec([probe("a", journal), ChildSpec("deep", SupervisorSpec([probe("b", journal)]))])
    async with open_system(SupervisorSpec([ChildSpec("inner", inner)]), on_event=journal.on_event) as system:
        refs = [system.ref("/inner/a"), system.ref("/inner/deep/b")]
        system.kill("/inner")
        assert [await ref.ask(Ping()) for ref in refs] == [2, 2]

    kinds = [event.reason.kind for event in journal.events if event.reason is not None and event.path == "/inner/a"]
    assert kinds[0] == "killed"


async def test_kill_of_the_root_ends_the_system() -> None:
    """The root has no supervisor to restart it."""
    async with open_system(one(), on_event=Journal().on_event) as system:
        system.kill("/", "enough")
        reason = await system.wait_terminated()

    assert (reason.kind, reason.text) == ("killed", "enough")


async def test_an_actor_may_kill_itself() -> None:
    """An actor that has itself killed from a handler ends at its next checkpoint."""
    async with open_system(one(), on_event=Journal().on_event) as system:
        with pytest.raises(ActorCrashed, match="Killed"):
            await system.ref("/a").ask(Run(lambda actor: actor.context.system.kill("/a")))

        assert await system.ref("/a").ask(Ping()) == 2


async def test_swallowing_the_cancellation_does_not_help() -> None:
    """A handler that swallows Cancelled and returns is ended all the same."""

    async def stubborn(_: Any) -> None:
        for _ in range(3):
            with suppress(trio.Cancelled):
                await trio.sleep_forever()

    async with open_system(one(), on_event=Journal().on_event) as system:
        system.ref("/a").tell(Run(stubborn))
        await wait_all_tasks_blocked()
        system.kill("/a")

        assert await system.ref("/a").ask(Ping()) == 2


async def test_restart_is_not_counted(autojump_clock: MockClock) -> None:
    """`System.restart` stops in order, starts again, and does not count against the intensity."""
    journal = Journal()
    spec = SupervisorSpec([probe("a", journal)], intensity=Intensity(0, 5.0))
    async with open_system(spec, on_event=journal.on_event) as system:
        for _ in range(5):
            await system.restart("/a")
        seen = system.snapshot("/a")

        assert (await system.ref("/a").ask(Ping()), seen.restarts, seen.restarts_in_window) == (6, 0, 0)
    assert journal.lines[:3] == ["start a", "stop a shutdown", "start a"]


async def test_restart_keeps_the_mailbox(autojump_clock: MockClock) -> None:
    """Messages queued while an actor is restarted by request are handled afterwards."""
    journal = Journal()
    async with open_system(one(journal)) as system:
        system.ref("/a").tell(nap(1))
        system.ref("/a").tell("kept")
        await system.restart("/a")
        await system.ref("/a").ask(Ping())

    assert "a got kept" in journal.lines


async def test_restart_of_what_stood_still_or_was_given_up() -> None:
    """It starts a terminated child, a given-up one, and a whole subtree; the root it refuses."""
    patience = DynamicSupervisorSpec(intensity=Intensity(0, 5.0), intensity_per_child=True)
    spec = SupervisorSpec([probe("a"), ChildSpec("dyn", patience)])
    async with open_system(spec, on_event=Journal().on_event) as system:
        await system.supervisor("/").terminate_child("a")
        await system.restart("/a")
        assert await system.ref("/a").ask(Ping()) == 2

        ref = await system.supervisor("/dyn").start_child(probe("x"))
        system.kill("/dyn/x")
        await wait_all_tasks_blocked()
        assert system.snapshot("/dyn/x").state == "failed"
        await system.restart("/dyn/x")
        assert await ref.ask(Ping()) == 2

        await system.restart("/dyn")
        assert system.snapshot("/dyn").children == ()
        with pytest.raises(NotSupported):
            await system.restart("/")


async def test_restart_that_fails(autojump_clock: MockClock) -> None:
    """A restart by request whose start fails raises, and the child stays down."""
    switch = Switch()
    async with open_sup([switch.spec("a")]) as sup:
        switch.mode = "fail"
        with pytest.raises(StartFailed, match="start refused"):
            await sup.system.restart("/sup/a")

        assert await sup.states() == {"a": "stopped"}


async def test_suspend_and_resume(autojump_clock: MockClock) -> None:
    """A suspended actor takes no message, keeps them, and can still be looked into, stopped and killed."""
    journal = Journal()
    async with open_system(one(journal), on_event=journal.on_event) as system:
        ref = system.ref("/a")
        system.suspend("/a")
        ref.tell(1)
        with pytest.raises(AskTimeout):
            await ref.ask(Ping(), timeout=5)
        assert system.snapshot("/a").state == "suspended"
        assert (await system.get_state("/a"))["received"] == []

        system.resume("/a")
        await ref.ask(Ping())
        assert (await system.get_state("/a"))["received"] == [1]

        system.suspend("/a")
        system.kill("/a")
        assert await ref.ask(Ping()) == 2


async def test_suspend_takes_effect_after_the_message_in_hand(autojump_clock: MockClock) -> None:
    """The present message is finished; the next one waits, however many are queued."""
    journal = Journal()
    async with open_system(one(journal)) as system:
        system.ref("/a").tell(nap(2))
        system.ref("/a").tell("next")
        await wait_all_tasks_blocked()
        system.suspend("/a")
        await trio.sleep(10)
        assert (system.snapshot("/a").handled, journal.lines) == (1, ["start a"])
        system.resume("/a")
        await system.ref("/a").ask(Ping())

    assert "a got next" in journal.lines


async def test_a_suspended_actor_stops_in_order(autojump_clock: MockClock) -> None:
    """Shutting down does not wait for a resume."""
    journal = Journal()
    async with open_system(one(journal)) as system:
        system.suspend("/a")

    assert (journal.lines, trio.current_time()) == (["start a", "stop a shutdown"], 0)


async def test_supervisors_cannot_be_suspended() -> None:
    """suspend, resume, get_state and trace are for actors."""
    actions: list[Callable[[], object]] = []
    async with open_system(one()) as system:
        actions += (lambda: system.suspend("/"), lambda: system.resume("/"), lambda: system.trace("/", None))
        for action in actions:
            with pytest.raises(NotSupported, match="/ is a supervisor; suspend, resume, get_state"):
                action()
        with pytest.raises(NotSupported):
            await system.get_state("/")


async def test_system_requests_overtake_queued_messages(autojump_clock: MockClock) -> None:
    """With five hundred slow messages queued, a look inside, a suspension and a stop come after the present one."""
    async with open_system(one()) as system:
        for _ in range(500):
            system.ref("/a").tell(nap(1))
        await wait_all_tasks_blocked()
        await system.get_state("/a")
        assert (trio.current_time(), system.snapshot("/a").mailbox_depth) == (1, 498)
        system.suspend("/a")
        await trio.sleep(10)
        assert system.snapshot("/a").mailbox_depth == 498
        system.resume("/a")
        await system.supervisor().terminate_child("a")

    assert trio.current_time() <= 13


async def test_an_inquiry_of_a_busy_actor_times_out_and_of_a_stopped_one_fails(autojump_clock: MockClock) -> None:
    """get_state waits for the present message, up to its timeout; an actor that does not run says so."""
    async with open_system(one()) as system:
        await busy(system)
        with pytest.raises(AskTimeout):
            await system.get_state("/a", timeout=3)
        assert trio.current_time() == 3
        system.kill("/a")
        assert await system.get_state("/a") is not None

        await system.supervisor("/").terminate_child("a")
        with pytest.raises(ActorStopped):
            await system.get_state("/a")


async def test_an_inquiry_that_raises_hurts_the_inquirer_only() -> None:
    """An exception of the function is raised in the caller, and the actor goes on."""

    def fail(_: Actor) -> None:
        raise LookupError("nothing like that")

    async with open_system(one()) as system:
        with pytest.raises(LookupError, match="nothing like that"):
            await system.inquire("/a", fail)

        assert await system.ref("/a").ask(Ping()) == 1


async def test_trace(autojump_clock: MockClock) -> None:
    """A traced actor reports each message: its type, how long it waited and took, and its outcome."""
    events: list[TraceEvent] = []

    def refuse(_: Any) -> None:
        raise Refusal

    async with open_system(one(), on_event=Journal().on_event) as system:
        system.trace("/a", events.append)
        ref = system.ref("/a")
        for message in (nap(2), Run(refuse), Crash()):
            ref.tell(message)
        assert await ref.ask(Ping()) == 2
        system.trace("/a", None)
        await ref.ask(Ping())

    seen = [(event.message_type, event.waited, event.seconds, event.outcome) for event in events]
    assert seen == [
        ("Run", 0, 2, "done"),
        ("Run", 2, 0, "refused"),
        ("Crash", None, 0, "crashed"),
        ("Ping", 2, 0, "done"),
    ]
    assert [event.incarnation for event in events] == [1, 1, 1, 2]


async def test_a_tracer_that_raises_is_taken_off(caplog: pytest.LogCaptureFixture) -> None:
    """A broken tracer is logged once and does not touch the actor."""

    def broken(_: TraceEvent) -> None:
        raise RuntimeError("no ink")

    async with open_system(one()) as system:
        system.trace("/a", broken)
        assert [await system.ref("/a").ask(Ping()) for _ in range(3)] == [1, 1, 1]

    assert [record.getMessage() for record in caplog.records] == ["the tracer of /a failed and was taken off"]
