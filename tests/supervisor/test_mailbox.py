"""Mailboxes: their limits, what happens when they are full, and what outlives an incarnation."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import ActorRef, Backoff, Intensity, MailboxSpec, Overflow, SupervisorSpec, System, open_system
from supervisor.errors import ActorStopped, AskTimeout, MailboxFull
from tests.supervisor.probes import Journal, Ping, Run, nap, probe


def small(overflow: Overflow, journal: Journal) -> SupervisorSpec:
    """An actor with room for two messages."""
    mailbox = MailboxSpec(capacity=2, overflow=overflow)
    return SupervisorSpec([probe("a", journal, mailbox=mailbox)], intensity=Intensity(9, 1.0))


async def occupied(system: System, seconds: float = 10) -> ActorRef:
    """The actor, busy for ``seconds``, with an empty mailbox."""
    ref = system.ref("/a")
    ref.tell(nap(seconds))
    await wait_all_tasks_blocked()
    return ref


def got(journal: Journal) -> list[str]:
    return [line.removeprefix("a got ") for line in journal.lines if "got" in line]


@pytest.mark.parametrize("overflow", [Overflow.REJECT, Overflow.WAIT])
async def test_a_full_mailbox_refuses_a_told_message(overflow: Overflow, autojump_clock: MockClock) -> None:
    """tell raises `MailboxFull`; the sender can go on, and queued messages are handled."""
    journal = Journal()
    async with open_system(small(overflow, journal)) as system:
        ref = await occupied(system)
        ref.tell(1)
        ref.tell(2)
        with pytest.raises(MailboxFull, match=r"the mailbox of /a is full \(2 messages\)"):
            ref.tell(3)
        await trio.sleep(11)

    assert got(journal) == ["1", "2"]


async def test_reject_refuses_an_ask(autojump_clock: MockClock) -> None:
    """Under REJECT a full mailbox fails an ask at once."""
    async with open_system(small(Overflow.REJECT, Journal())) as system:
        ref = await occupied(system)
        ref.tell(1)
        ref.tell(2)
        with pytest.raises(MailboxFull):
            await ref.ask(Ping())

        assert trio.current_time() == 0


async def test_drop_newest(autojump_clock: MockClock) -> None:
    """Under DROP_NEWEST a message that does not fit is dropped and counted; an ask is refused, so that its caller does not wait in vain."""
    journal = Journal()
    async with open_system(small(Overflow.DROP_NEWEST, journal)) as system:
        ref = await occupied(system)
        for number in range(5):
            ref.tell(number)
        with pytest.raises(MailboxFull):
            await ref.ask(Ping())
        await trio.sleep(11)

        assert got(journal) == ["0", "1"]
        assert system.snapshot("/a").dropped == 3


async def test_drop_oldest(autojump_clock: MockClock) -> None:
    """Under DROP_OLDEST the newest stay; the caller of a dropped ask gets `MailboxFull`."""
    journal = Journal()
    async with open_system(small(Overflow.DROP_OLDEST, journal)) as system, trio.open_nursery() as nursery:
        ref = await occupied(system)

        async def ask() -> None:
            with pytest.raises(MailboxFull):
                await ref.ask(Ping(), timeout=60)
            journal.note("the ask was dropped")

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        for number in range(4):
            ref.tell(number)
        await trio.sleep(11)

        assert got(journal) == ["2", "3"]
        assert "the ask was dropped" in journal.lines
        assert system.snapshot("/a").dropped == 3


async def test_drop_oldest_spares_what_the_core_promised(autojump_clock: MockClock) -> None:
    """A timer's tick and a `Down` are not dropped to make room."""
    journal = Journal()
    async with open_system(small(Overflow.DROP_OLDEST, journal)) as system:
        ref = system.ref("/a")
        await ref.ask(Run(lambda actor: actor.context.after(1, "tick")))
        await occupied(system)
        await trio.sleep(2)
        for number in range(3):
            ref.tell(number)
        await trio.sleep(11)

    assert got(journal) == ["tick", "2"]


async def test_send_waits_for_room_in_turn(autojump_clock: MockClock) -> None:
    """Senders to a full mailbox wait, in the order in which they came, and nothing is lost."""
    journal = Journal()
    async with open_system(small(Overflow.REJECT, journal)) as system:
        ref = await occupied(system)
        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(ref.send, number)
                await wait_all_tasks_blocked()
        assert trio.current_time() == 10
        await ref.ask(Ping())

    assert got(journal) == [str(number) for number in range(6)]


async def test_send_does_not_yield_when_there_is_room() -> None:
    """With room, send queues at once, even under an expired deadline (python-trio #1626)."""
    journal = Journal()
    async with open_system(small(Overflow.REJECT, journal)) as system:
        with trio.move_on_after(0) as scope:
            await system.ref("/a").send("now")
        await system.ref("/a").ask(Ping())

    assert (got(journal), scope.cancelled_caught) == (["now"], False)


async def test_a_cancelled_send_is_not_delivered(autojump_clock: MockClock) -> None:
    """A sender that gives up while it waits has sent nothing."""
    journal = Journal()
    async with open_system(small(Overflow.REJECT, journal)) as system:
        ref = await occupied(system)
        ref.tell(1)
        ref.tell(2)
        with trio.move_on_after(1) as scope:
            await ref.send(3)
        await trio.sleep(11)

    assert (got(journal), scope.cancelled_caught) == (["1", "2"], True)


async def test_wait_lets_an_ask_wait_for_room_within_its_timeout(autojump_clock: MockClock) -> None:
    """Under WAIT an ask of a full mailbox is queued when there is room, or times out."""
    async with open_system(small(Overflow.WAIT, Journal())) as system:
        ref = await occupied(system)
        ref.tell(1)
        ref.tell(2)
        with pytest.raises(AskTimeout):
            await ref.ask(Ping(), timeout=5)
        assert await ref.ask(Ping(), timeout=6) == 1
        assert (trio.current_time(), system.snapshot("/a").handled) == (10, 4)


async def test_waiting_senders_are_told_when_the_actor_stops(autojump_clock: MockClock) -> None:
    """A caller that waits for room, or in the queue for a reply, gets `ActorStopped` when the actor is terminated."""
    journal = Journal()
    async with open_system(small(Overflow.WAIT, journal)) as system, trio.open_nursery() as nursery:
        ref = await occupied(system)

        async def expect_stop(action: Any, message: object) -> None:
            with pytest.raises(ActorStopped):
                await action(message)
            journal.note("told")

        ref.tell(1)
        for action, message in ((ref.ask, Ping()), (ref.send, 1), (ref.ask, Ping())):
            nursery.start_soon(expect_stop, action, message)
            await wait_all_tasks_blocked()
        nursery.start_soon(system.supervisor("/").terminate_child, "a")
        await wait_all_tasks_blocked()
        assert trio.current_time() == 0

    assert journal.lines.count("told") == 3
    assert trio.current_time() == 5


async def test_messages_wait_while_the_actor_restarts(autojump_clock: MockClock) -> None:
    """Messages sent during a back-off are handled by the next incarnation."""
    journal = Journal()
    spec = probe("a", journal, backoff=Backoff(initial=5, jitter=False))
    async with open_system(SupervisorSpec([spec]), on_event=journal.on_event) as system:
        system.kill("/a")
        await wait_all_tasks_blocked()
        system.ref("/a").tell("while you were out")

        assert await system.ref("/a").ask(Ping(), timeout=10) == 2

    assert got(journal) == ["while you were out"]


async def test_age_and_depth(autojump_clock: MockClock) -> None:
    """The snapshot shows how many messages are queued, and how long the oldest has waited."""
    async with open_system(small(Overflow.REJECT, Journal())) as system:
        ref = await occupied(system)
        assert system.snapshot("/a").oldest_message_age is None
        ref.tell(1)
        await trio.sleep(3)
        ref.tell(2)
        await trio.sleep(1)
        seen = system.snapshot("/a")

        assert (seen.mailbox_depth, seen.mailbox_capacity, seen.oldest_message_age) == (2, 2, 4)
        assert (seen.current_message, seen.current_message_seconds) == ("Run", 4)


async def test_a_busy_actor_lets_others_run() -> None:
    """An actor with thousands of messages does not keep another from replying: turns are bounded by time."""
    mailbox = MailboxSpec(capacity=100_000)
    spec = SupervisorSpec([probe("busy", mailbox=mailbox), probe("other")])
    async with open_system(spec) as system:
        handled: list[int] = []
        for _ in range(20_000):
            system.ref("/busy").tell(Run(lambda _: None))
        for _ in range(3):
            await system.ref("/other").ask(Ping())
            handled.append(system.snapshot("/busy").handled)

        assert 0 < handled[-1] < 10_000
