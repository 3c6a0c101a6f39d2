"""Putting messages aside."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from supervisor import Actor, ChildSpec, Context, Intensity, MailboxSpec, Request, SupervisorSpec, open_system
from supervisor.errors import ActorCrashed, ActorStopped
from tests.supervisor.probes import Boom, Journal


class Shop(Actor):
    """Puts orders aside until it opens; an order for a bomb crashes it."""

    def __init__(self, context: Context, journal: Journal) -> None:
        self.journal = journal
        self.is_open = False

    async def receive(self, message: Any) -> Any:
        match message:
            case "open":
                self.is_open = True
                self.context.unstash_all()
            case "bomb" if self.is_open:
                raise Boom
            case _ if not self.is_open:
                self.context.stash()
            case _:
                self.journal.note(f"sold {message}")
                return f"your {message}"
        return None


def shop(journal: Journal, **options: Any) -> SupervisorSpec:
    spec = ChildSpec("shop", lambda context: Shop(context, journal), **options)
    return SupervisorSpec([spec], intensity=Intensity(99, 1.0))


class Order(Request[str]):
    """An order whose sender waits for it."""

    def __str__(self) -> str:
        return "order"


async def test_stashed_messages_come_first_and_in_order() -> None:
    """After unstash_all the stashed messages are handled in their order, before those that were queued later."""
    journal = Journal()
    async with open_system(shop(journal)) as system:
        for message in ("tea", "milk", "open", "bread"):
            system.ref("/shop").tell(message)
        await system.ref("/shop").ask(Order())

    assert journal.lines == ["sold tea", "sold milk", "sold bread", "sold order"]


async def test_an_ask_can_be_stashed_with_its_answer(autojump_clock: MockClock) -> None:
    """The caller of a stashed ask gets the reply of the handling after the unstash."""
    async with open_system(shop(Journal())) as system, trio.open_nursery() as nursery:
        answers: list[str] = []

        async def order() -> None:
            answers.append(await system.ref("/shop").ask(Order()))

        nursery.start_soon(order)
        await trio.sleep(1)
        assert system.snapshot("/shop").stashed == 1
        system.ref("/shop").tell("open")
        await trio.sleep(1)

    assert answers == ["your order"]


async def test_the_stash_survives_a_crash_and_a_second_one_while_it_is_emptied() -> None:
    """Stashed messages reach the next incarnation; only the one being handled at a crash is lost (akka #31814)."""
    journal = Journal()
    async with open_system(shop(journal), on_event=journal.on_event) as system:
        ref = system.ref("/shop")
        for message in ("tea", "bomb", "milk", "bomb", "bread"):
            ref.tell(message)
        ref.tell("open")
        for _ in range(2):
            await trio.testing.wait_all_tasks_blocked()
            ref.tell("open")
        assert await ref.ask(Order()) == "your order"

    assert journal.lines == ["sold tea", "sold milk", "sold bread", "sold order"]


async def test_a_full_stash_says_so() -> None:
    """One message more than ``stash_capacity`` raises `StashFull`, here a crash, whose stash is kept."""
    async with open_system(
        shop(Journal(), mailbox=MailboxSpec(stash_capacity=2)), on_event=Journal().on_event
    ) as system:
        for message in ("tea", "milk"):
            system.ref("/shop").tell(message)
        with pytest.raises(ActorCrashed, match=r"StashFull: the stash of /shop is full \(2 messages\)"):
            await system.ref("/shop").ask(Order())
        await trio.testing.wait_all_tasks_blocked()

        assert system.snapshot("/shop").stashed == 2


async def test_asks_that_were_given_up_make_room(autojump_clock: MockClock) -> None:
    """Stashed asks whose callers no longer wait are dropped when the stash is full."""
    async with open_system(shop(Journal(), mailbox=MailboxSpec(stash_capacity=1))) as system:
        for _ in range(3):
            with trio.move_on_after(1):
                await system.ref("/shop").ask(Order())

        assert (system.snapshot("/shop").stashed, system.snapshot("/shop").incarnation) == (1, 1)


async def test_a_terminated_actor_s_stash_is_told(autojump_clock: MockClock) -> None:
    """Callers of stashed asks get `ActorStopped` when the actor is stopped for good."""
    async with open_system(shop(Journal())) as system, trio.open_nursery() as nursery:

        async def order() -> None:
            with pytest.raises(ActorStopped):
                await system.ref("/shop").ask(Order(), timeout=60)

        nursery.start_soon(order)
        await trio.sleep(1)
        await system.supervisor("/").terminate_child("shop")

        assert system.snapshot("/shop").stashed == 0
