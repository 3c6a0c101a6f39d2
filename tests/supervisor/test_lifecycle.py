"""Opening and closing systems; events and snapshots of what happens in between."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import (
    NORMAL,
    Actor,
    ActorSnapshot,
    Backoff,
    ChildSpec,
    DynamicSupervisorSpec,
    ExitReason,
    Intensity,
    LifecycleEvent,
    Restart,
    SupervisorSpec,
    open_system,
)
from supervisor.errors import ActorStopped, StartFailed, TooMany
from supervisor.introspection.events import MAX_SUBSCRIBERS
from tests.supervisor.probes import Boom, Crash, Journal, Ping, Run, Stop, nap, probe


class Sticky(Actor):
    async def stopping(self, reason: ExitReason) -> None:
        await trio.sleep_forever()


def two(journal: Journal | None = None) -> SupervisorSpec:
    return SupervisorSpec([probe("a", journal), probe("b", journal)], intensity=Intensity(9, 1.0))


async def test_the_block_is_entered_when_everything_is_started_and_left_when_all_has_stopped() -> None:
    """Starts in order before the body, stops in reverse after it."""
    journal = Journal()
    async with open_system(two(journal)):
        assert journal.take() == ["start a", "start b"]

    assert journal.take() == ["stop b shutdown", "stop a shutdown"]


async def test_the_next_child_starts_after_the_one_before_is_ready(autojump_clock: MockClock) -> None:
    """A start counts when `started` has returned, not when the task was made."""
    moments: dict[str, float] = {}

    class Slow(Actor):
        def __init__(self, name: str) -> None:
            moments[name] = trio.current_time()

        async def started(self) -> None:
            await trio.sleep(2)

    children = [ChildSpec(name, lambda _, name=name: Slow(name)) for name in ("first", "second", "third")]  # type: ignore[misc]
    async with open_system(SupervisorSpec(children)):
        assert moments == {"first": 0, "second": 2, "third": 4}
        assert trio.current_time() == 6


async def test_a_failed_start_stops_what_was_started() -> None:
    """When a child does not start, those before it are stopped in reverse and `StartFailed` leaves the block ungrouped."""
    journal = Journal()

    def fail(_: object) -> Any:
        raise Boom("no")

    children = [probe("a", journal), probe("b", journal), ChildSpec("c", fail), probe("d", journal)]
    with pytest.raises(StartFailed, match="/c did not start: crashed: Boom: no"):
        async with open_system(SupervisorSpec(children), on_event=journal.on_event):
            pass

    assert journal.lines == ["start a", "start b", "stop b shutdown", "stop a shutdown"]


async def test_the_body_s_exception_leaves_the_block_as_it_is() -> None:
    """An exception of the body is neither grouped nor lost, and the tree is stopped in order."""
    journal = Journal()
    with pytest.raises(Boom, match="body"):
        async with open_system(two(journal)):
            raise Boom("body")

    assert journal.lines[2:] == ["stop b shutdown", "stop a shutdown"]


async def test_cancelling_the_body_stops_the_tree_in_order(autojump_clock: MockClock) -> None:
    """The shutdown is shielded: actors get to clean up although the block is cancelled."""
    journal = Journal()
    with trio.move_on_after(1) as scope:
        async with open_system(two(journal)):
            await trio.sleep_forever()

    assert scope.cancelled_caught
    assert journal.lines[2:] == ["stop b shutdown", "stop a shutdown"]


async def test_cancelling_the_start_stops_what_was_started(autojump_clock: MockClock) -> None:
    """A start that is cancelled leaves nothing behind."""
    journal = Journal()

    class Never(Actor):
        async def started(self) -> None:
            await trio.sleep_forever()

    spec = SupervisorSpec([probe("a", journal), ChildSpec("never", lambda _: Never())])
    with trio.move_on_after(1) as scope:
        async with open_system(spec):
            raise AssertionError("not reached")

    assert scope.cancelled_caught
    assert journal.lines == ["start a", "stop a shutdown"]


async def test_an_exit_in_an_actor_is_not_survived() -> None:
    """SystemExit and KeyboardInterrupt are not crashes: they end the whole program."""

    class Leaves(Actor):
        async def receive(self, message: Any) -> Any:
            raise SystemExit(3)

    async def run() -> None:
        async with open_system(SupervisorSpec([ChildSpec("leaves", lambda _: Leaves())])) as system:
            system.ref("/leaves").tell("go")
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await run()

    assert caught.group_contains(SystemExit)


async def test_escalation_of_the_root_is_seen_and_does_not_end_the_body() -> None:
    """wait_terminated returns the reason when the root has used up its intensity; the body goes on."""
    journal = Journal()
    spec = SupervisorSpec([probe("a")], intensity=Intensity(0, 1.0))
    async with open_system(spec, on_event=journal.on_event) as system:
        system.kill("/a")
        reason = await system.wait_terminated()
        await trio.lowlevel.checkpoint()

        assert (reason.kind, reason.text) == ("shutdown", "/a spent the restart intensity")
        with pytest.raises(ActorStopped):
            system.ref("/a").tell("hello")
    assert journal.kinds("/") == ["escalated"]


async def test_stop_ends_the_tree_from_within() -> None:
    """System.stop ends everything in order and can be repeated."""
    async with open_system(two()) as system:
        await system.stop(ExitReason("shutdown", "enough"))
        await system.stop()

        assert (await system.wait_terminated()).text == "enough"
        assert system.snapshot().state == "stopped"


async def test_shutdown_has_an_overall_deadline(autojump_clock: MockClock) -> None:
    """After ``shutdown_timeout`` everything that has not stopped is killed."""
    journal = Journal()
    children = [ChildSpec(f"s{number}", lambda _: Sticky(), shutdown=1000.0) for number in range(3)]
    async with open_system(SupervisorSpec(children), on_event=journal.on_event, shutdown_timeout=7):
        pass

    assert trio.current_time() == 7
    assert [event.reason.kind for event in journal.events if event.kind == "terminated" and event.reason] == [
        "killed"
    ] * 3


async def test_reverse_order_with_each_child_s_own_time(autojump_clock: MockClock) -> None:
    """In strict order the times add up; a child is stopped when the one after it has ended."""
    journal = Journal()
    children = [ChildSpec(f"s{seconds}", lambda _: Sticky(), shutdown=float(seconds)) for seconds in (1, 2, 3)]
    async with open_system(SupervisorSpec(children), on_event=journal.on_event):
        pass

    ended = [(event.path, event.time) for event in journal.events if event.kind == "terminated"]
    assert ended == [("/s3", 3), ("/s2", 5), ("/s1", 6)]


async def test_stopping_by_itself_is_bounded_too(autojump_clock: MockClock) -> None:
    """An actor that crashes and does not finish its cleaning is cancelled after its shutdown time, and restarted."""

    class CrashesAndSticks(Sticky):
        async def receive(self, message: Any) -> Any:
            if isinstance(message, Ping):
                return self.context.incarnation
            raise Boom

    spec = ChildSpec("a", lambda _: CrashesAndSticks(), shutdown=4.0)
    async with open_system(SupervisorSpec([spec]), on_event=Journal().on_event) as system:
        system.ref("/a").tell("crash")
        assert await system.ref("/a").ask(Ping()) == 2
        assert trio.current_time() == 4
        crash = system.snapshot("/a").last_crash
        assert crash is not None
        assert crash.type == "Boom"


async def test_events_tell_the_story() -> None:
    """started, crashed, restarting, restarted, stopped, terminated: each with path, reason and report."""
    journal = Journal()
    spec = SupervisorSpec([probe("a", restart=Restart.TRANSIENT), probe("b")], intensity=Intensity(9, 1.0))
    async with open_system(spec, on_event=journal.on_event) as system:
        system.ref("/a").tell(Crash("oops"))
        await system.ref("/a").ask(Ping())
        system.ref("/a").tell(Stop(NORMAL))
        await wait_all_tasks_blocked()

    assert [(event.kind, event.path) for event in journal.events] == [
        ("started", "/a"),
        ("started", "/b"),
        ("crashed", "/a"),
        ("restarting", "/a"),
        ("restarted", "/a"),
        ("stopped", "/a"),
        ("terminated", "/b"),
    ]
    crashed = journal.events[2]
    assert crashed.crash is not None
    assert (crashed.crash.text, crashed.crash.message_type, crashed.incarnation) == ("oops", "Crash", 1)
    assert msgspec.json.decode(msgspec.json.encode(crashed), type=LifecycleEvent) == crashed


async def test_a_subscriber_that_raises_is_logged_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A broken subscriber is still called; the others and the tree are not affected."""
    journal = Journal()

    def broken(_: LifecycleEvent) -> None:
        raise RuntimeError("no paper")

    async with open_system(SupervisorSpec([]), on_event=journal.on_event) as system:
        system.subscribe(broken)
        system.subscribe(journal.on_event)
        await system.supervisor().start_child(probe("a"))

    assert journal.kinds("/a") == ["started", "started", "terminated", "terminated"]
    assert caplog.messages == [
        "a subscriber to lifecycle events failed over started of /a",
        "a subscriber to lifecycle events failed over terminated of /a",
    ]


async def test_unsubscribing_ends_it_and_subscribers_are_limited() -> None:
    """The returned function takes the subscriber off; more than the limit are refused."""
    journal = Journal()
    async with open_system(SupervisorSpec([])) as system:
        unsubscribe = system.subscribe(journal.on_event)
        unsubscribe()
        unsubscribe()
        await system.supervisor().start_child(probe("a"))
        for _ in range(MAX_SUBSCRIBERS):
            system.subscribe(lambda _: None)
        with pytest.raises(TooMany):
            system.subscribe(lambda _: None)

    assert journal.events == []


async def test_without_a_subscriber_trouble_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A crash leaves a trace always: without a subscriber it goes to the log, traceback and all."""
    async with open_system(two()) as system:
        system.ref("/a").tell(Crash("unseen"))
        await system.ref("/a").ask(Ping())

    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert caplog.messages[0].startswith("/a crashed: crashed: Boom: unseen\nTraceback")


async def test_a_snapshot_shows_the_tree(autojump_clock: MockClock) -> None:
    """Paths, kinds, states, ages and counters of all places, encodable as JSON and back."""
    spec = SupervisorSpec([probe("a"), ChildSpec("below", DynamicSupervisorSpec())], intensity=Intensity(9, 60.0))
    async with open_system(spec, on_event=Journal().on_event) as system:
        await system.supervisor("/below").start_child(probe("x"))
        await trio.sleep(5)
        system.ref("/a").tell(Crash("oops"))
        await system.ref("/a").ask(Ping())
        await system.ref("/a").ask(nap(2))
        await trio.sleep(3)
        seen = system.snapshot()

    assert [child.path for child in seen.children] == ["/a", "/below"]
    assert [child.path for child in seen.children[1].children] == ["/below/x"]
    assert (seen.path, seen.id, seen.kind, seen.state, seen.uptime) == ("/", "root", "supervisor", "running", 10)
    a = seen.children[0]
    assert (a.incarnation, a.restarts, a.restarts_in_window, a.uptime) == (2, 1, 1, 5)
    assert (a.handled, a.handler_seconds, a.recent_messages) == (2, 2, ("Ping", "Run"))
    assert a.last_crash is not None
    assert (a.last_crash.type, a.last_crash.text) == ("Boom", "oops")
    assert msgspec.json.decode(msgspec.json.encode(seen), type=ActorSnapshot) == seen


async def test_recent_messages_are_a_short_ring() -> None:
    """The types of the last eight messages are kept, oldest first, across incarnations."""
    async with open_system(two(), on_event=Journal().on_event) as system:
        ref = system.ref("/a")
        for message in ("one", 2, 3.0, b"four", None, "six", 7, 8.0, b"nine", ()):
            ref.tell(message)
        await ref.ask(Ping())

        expected = ("float", "bytes", "NoneType", "str", "int", "float", "bytes", "tuple", "Ping")[1:]
        assert system.snapshot("/a").recent_messages == expected
        system.kill("/a")
        await ref.ask(Ping())
        assert system.snapshot("/a").recent_messages == (*expected[1:], "Ping")


async def test_a_snapshot_does_not_wait_for_anybody(autojump_clock: MockClock) -> None:
    """Reading the tree neither yields nor depends on a hung actor."""
    async with open_system(two()) as system:
        system.ref("/a").tell(nap(1))
        await wait_all_tasks_blocked()
        seen = system.snapshot("/a")

        assert (seen.state, seen.current_message, trio.current_time()) == ("running", "Run", 0)


async def test_a_supervisor_that_ends_leaves_no_deadline_behind(autojump_clock: MockClock) -> None:
    """Back-offs that were waiting when their supervisor ended are taken off the heap of deadlines."""
    patient = Backoff(initial=1000, minimum=1000, maximum=1000, jitter=False)
    dynamic = ChildSpec("dyn", DynamicSupervisorSpec(intensity=Intensity(9, 1.0)), restart=Restart.TEMPORARY)
    ordered = ChildSpec("ord", SupervisorSpec([probe("a", backoff=patient)]), restart=Restart.TEMPORARY)
    async with open_system(SupervisorSpec([dynamic, ordered]), on_event=Journal().on_event) as system:
        await system.supervisor("/dyn").start_child(probe("a", backoff=patient))
        for path in ("/dyn/a", "/ord/a", "/dyn", "/ord"):
            system.kill(path)
            await wait_all_tasks_blocked()

        assert system._runtime.timers.next_due() is None


async def test_tasks_of_the_tree_do_not_see_their_cause_s_context_variables() -> None:
    """A child started on behalf of a request sees the context variables of the task that opened the system, not the request's."""
    variable: ContextVar[str] = ContextVar("variable", default="of the system")
    async with open_system(SupervisorSpec([])) as system:
        variable.set("of the request")
        ref = await system.supervisor().start_child(probe("a"))

        assert await ref.ask(Run(lambda _: variable.get())) == "of the system"
