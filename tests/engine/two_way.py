"""Two companies that write to each other all the time, over one Signal session, and a record of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from actors.engine.protocol import messages as p
from tests.engine.companies import A, B, two_companies
from tests.engine.daemon import Link

ARRIVE_WITHIN_S = 60.0


@dataclass
class Side:
    """One company: what it sent and what it received."""

    link: Link
    to: str
    sent: list[p.Sent] = field(default_factory=list[p.Sent])
    failed: list[p.FromEngine] = field(default_factory=list[p.FromEngine])
    received: list[str] = field(default_factory=list[str])
    undecryptable: int = 0
    calls: dict[int, trio.Event] = field(default_factory=dict[int, trio.Event])
    answers: dict[int, Any] = field(default_factory=dict[int, Any])

    async def listen(self) -> None:
        while True:
            message = await self.link.receive()
            self.link.said.clear()
            if isinstance(message, p.OutboxEvent):
                self._note(message)
            call = getattr(message, "call", None)
            if call in self.calls:
                self.answers[call] = message
                self.calls.pop(call).set()

    def _note(self, event: p.OutboxEvent) -> None:
        if event.type == "message":
            self.received.append(json.loads(event.payload)["messageId"])
        self.undecryptable += event.type == "undecryptable"

    async def send(self, count: int) -> None:
        for number in range(count):
            answered = self.calls[number] = trio.Event()
            await self.link.send(p.SendText(call=number, to=self.to, text=str(number)))
            await answered.wait()
            answer = self.answers.pop(number)
            (self.sent if isinstance(answer, p.Sent) else self.failed).append(answer)


@dataclass(frozen=True)
class Outcome:
    """Of both directions together."""

    acknowledged: int
    failed: int
    lost: int
    twice: int
    undecryptable: int
    retries: int


async def converse(directory: Path, count: int) -> Outcome:
    """Have both send ``count`` texts as fast as they are acknowledged; return the outcome once all have arrived or no more come."""
    async with two_companies(directory) as (loopback, _, first, second):
        sides = (Side(first, f"{B}@s.whatsapp.net"), Side(second, f"{A}@s.whatsapp.net"))
        async with trio.open_nursery() as nursery:
            for side in sides:
                nursery.start_soon(side.listen)
            async with trio.open_nursery() as senders:
                for side in sides:
                    senders.start_soon(side.send, count)
            with trio.move_on_after(ARRIVE_WITHIN_S):
                while _missing(*sides):
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        return _outcome(sides, loopback.counters()["retry_receipts"])


def _missing(first: Side, second: Side) -> set[str]:
    return {sent.message_id for sent in first.sent} - set(second.received) | {
        sent.message_id for sent in second.sent
    } - set(first.received)


def _outcome(sides: tuple[Side, Side], retries: int) -> Outcome:
    arrived = Counter(sides[0].received) + Counter(sides[1].received)
    return Outcome(
        acknowledged=sum(len(side.sent) for side in sides),
        failed=sum(len(side.failed) for side in sides),
        lost=len(_missing(*sides)),
        twice=sum(times > 1 for times in arrived.values()),
        undecryptable=sum(side.undecryptable for side in sides),
        retries=retries,
    )
