"""Actors and recorders that the tests of the supervision core share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from supervisor import Actor, ChildSpec, Context, ExitReason, LifecycleEvent, Request


@dataclass(frozen=True, slots=True)
class Ping(Request[int]):
    """Its reply is the number of the incarnation."""


@dataclass(frozen=True, slots=True)
class Run(Request[Any]):
    """Have the actor call ``function(actor)``, await it if need be, and reply with the result."""

    function: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Crash(Request[None]):
    text: str = "boom"


@dataclass(frozen=True, slots=True)
class Stop:
    reason: ExitReason


class Boom(Exception):
    """A crash that a test orders."""


@dataclass
class Journal:
    """What happened, in order: lines of the probes and lifecycle events."""

    lines: list[str] = field(default_factory=list[str])
    events: list[LifecycleEvent] = field(default_factory=list[LifecycleEvent])

    def note(self, line: str) -> None:
        self.lines.append(line)

    def on_event(self, event: LifecycleEvent) -> None:
        self.events.append(event)

    def kinds(self, path: str) -> list[str]:
        """The kinds of events of one path."""
        return [event.kind for event in self.events if event.path == path]

    def take(self) -> list[str]:
        """Return the lines so far and clear them."""
        lines, self.lines = self.lines, []
        return lines


class Probe(Actor):
    """Does what its messages say and notes when it starts and stops."""

    def __init__(self, context: Context, journal: Journal | None = None) -> None:
        self.name = context.name
        self.journal = journal if journal is not None else Journal()
        self.received: list[Any] = []

    async def started(self) -> None:
        self.journal.note(f"start {self.name}")

    async def receive(self, message: Any) -> Any:
        match message:
            case Ping():
                return self.context.incarnation
            case Run(function):
                result = function(self)
                return await result if isinstance(result, Awaitable) else result
            case Crash(text):
                raise Boom(text)
            case Stop(reason):
                self.context.stop(reason)
                return None
            case _:
                self.received.append(message)
                self.journal.note(f"{self.name} got {message}")
                return None

    async def stopping(self, reason: ExitReason) -> None:
        self.journal.note(f"stop {self.name} {reason.kind}")


def nap(seconds: float) -> Run:
    """Have the actor sleep while it handles a message."""

    async def sleep(_: Any) -> None:
        await trio.sleep(seconds)

    return Run(sleep)


def probe(child_id: str, journal: Journal | None = None, **options: Any) -> ChildSpec:
    """The spec of a `Probe`."""
    return ChildSpec(child_id, lambda context: Probe(context, journal), **options)
