"""The types that type checkers must infer. Not run: checked by mypy and pyright in test_typing.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

from supervisor import (
    Actor,
    ActorRef,
    ActorSnapshot,
    ChildSpec,
    Context,
    Down,
    ExitReason,
    Helper,
    Link,
    Monitor,
    ReplyTo,
    Request,
    SupervisorRef,
    System,
    Timer,
)


@dataclass(frozen=True, slots=True)
class Price:
    cents: int


@dataclass(frozen=True, slots=True)
class GetPrice(Request[Price]):
    article: str


@dataclass(frozen=True, slots=True)
class ListArticles(Request[tuple[str, ...]]):
    pass


@dataclass(frozen=True, slots=True)
class Forget(Request[None]):
    pass


@dataclass(frozen=True, slots=True)
class Find(Request[ActorRef | None]):
    name: str


async def an_ask_returns_what_its_request_declares(ref: ActorRef) -> None:
    assert_type(await ref.ask(GetPrice("tea")), Price)
    assert_type(await ref.ask(ListArticles(), timeout=1.0), tuple[str, ...])
    assert_type(await ref.ask(Find("x")), ActorRef | None)
    price = await ref.ask(GetPrice("tea"))
    assert_type(price.cents, int)


async def a_request_fits_where_more_is_taken(ref: ActorRef, anything: Request[object]) -> None:
    print(await ref.ask(GetPrice("tea")), str(await ref.ask(ListArticles())))
    anything = GetPrice("tea") if ref.path else anything


async def an_answer_that_is_none(ref: ActorRef) -> None:
    assert_type(await ref.ask(Forget()), None)


async def what_systems_and_supervisors_return(system: System, supervisor: SupervisorRef, spec: ChildSpec) -> None:
    assert_type(system.ref("/a"), ActorRef)
    assert_type(system.supervisor("/a"), SupervisorRef)
    assert_type(system.whereis("a"), ActorRef | None)
    assert_type(system.snapshot(), ActorSnapshot)
    assert_type(system.kill("/a"), bool)
    assert_type(await system.wait_terminated(), ExitReason)
    assert_type(await supervisor.start_child(spec), ActorRef)
    assert_type(supervisor.get_childspec("a"), ChildSpec)
    assert_type(await system.inquire("/a", lambda actor: len(vars(actor))), int)


def what_a_context_returns(context: Context, ref: ActorRef) -> None:
    assert_type(context.after(1.0, "tick"), Timer)
    assert_type(context.every(1.0, "tick"), Timer)
    assert_type(context.spawn(a_helper, 1), Helper)
    assert_type(context.defer(), ReplyTo[Any])
    assert_type(context.monitor(ref), Monitor)
    assert_type(context.link(ref), Link)
    promise: ReplyTo[Price] = context.defer()
    promise.reply(Price(3))


async def a_helper(number: int) -> None:
    pass


def a_down(down: Down) -> None:
    assert_type(down.reason, ExitReason)
    assert_type(down.monitor, Monitor | Link)


class Shop(Actor):
    def __init__(self, context: Context, prices: dict[str, int]) -> None:
        self.prices = prices

    async def receive(self, message: Any) -> Any:
        match message:
            case GetPrice(article):
                return Price(self.prices[article])
            case _:
                return None


SPEC = ChildSpec("shop", lambda context: Shop(context, {"tea": 300}))
