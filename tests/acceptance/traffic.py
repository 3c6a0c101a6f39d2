"""Texts in both directions all the time, and a record of what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, final

import httpx
import trio

from tests.acceptance.peer import Peer
from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.site import User

PAUSE_S: Final = 0.05
"""Between a sender's texts: traffic, not a load test."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to one call of `send`."""

    company: str
    began: float
    """On trio's clock."""
    seconds: float
    status: int
    code: str
    message_id: str
    retry_after: str | None


@dataclass(slots=True)
class Account:
    """What was sent and the responses."""

    answers: list[Answer] = field(default_factory=list[Answer])
    sent_back: dict[str, tuple[User, float]] = field(default_factory=dict[str, tuple[User, float]])
    """Message ids, their recipients, and when they were sent."""

    @property
    def acknowledged(self) -> frozenset[str]:
        """The message ids of the sends that got 200."""
        return frozenset(answer.message_id for answer in self.answers if answer.status == 200)

    def of(self, *users: User) -> list[Answer]:
        """The responses to these companies; all when none is named."""
        companies = {user.company for user in users}
        return [answer for answer in self.answers if not companies or answer.company in companies]

    def codes(self, *users: User) -> Counter[str]:
        """How often these companies (or all) got each code; ``ok`` for 200."""
        return Counter(answer.code for answer in self.of(*users))


@final
class Traffic:
    """Every company sends to the listener, one text after the other, and the talker to every company.

    Two others, so that each Signal session is used in one direction: their library loses messages when it encrypts
    and decrypts with the same session at the same time (actors/engine/device/session_guard.py prevents that in ours).
    """

    def __init__(self, api: Api, listener: Peer, talker: Peer, companies: Sequence[User]) -> None:
        self.account = Account()
        self._api = api
        self._listener = listener
        self._talker = talker
        self._companies = companies

    async def wait_acknowledged(self, count: int, *, company: User | None = None, within: float = 20.0) -> None:
        """Wait until that many sends (of one company, or of all) were acknowledged from now on."""
        before = self._count(company)

        async def look() -> bool:
            return self._count(company) >= before + count

        await eventually(f"{count} more sends to be acknowledged", look, within=within)

    async def wait_delivered(self, *, since: int, within: float = 20.0) -> None:
        """Wait until everything that was acknowledged is with the listener, and everything the talker sent is an event, once.

        ``since``: the number of the last event before the traffic began.
        """
        await self._listener.wait_received(self.account.acknowledged, within=within)
        for company in self._companies:
            await self._wait_events(company, since, within)

    def _owed_to(self, company: User) -> set[str]:
        return {id_ for id_, (to, _) in self.account.sent_back.items() if to == company}

    async def _wait_events(self, company: User, since: int, within: float) -> None:
        owed = self._owed_to(company)
        arrived: list[str] = []

        async def look() -> bool:
            events = await self._api.events(since, company=company.company, kind="message")
            arrived[:] = [event["payload"]["messageId"] for event in events]
            return owed <= set(arrived)

        try:
            await eventually(f"{len(owed)} messages to be events of {company.company}", look, within=within)
        except AssertionError as error:
            raise AssertionError(f"{error}; missing: {sorted(owed - set(arrived))}") from None
        twice = sorted(id_ for id_, times in Counter(arrived).items() if times > 1)
        assert not twice, f"told twice to {company.company}: {twice}"

    def _count(self, company: User | None) -> int:
        answers = self.account.answers if company is None else self.account.of(company)
        return sum(answer.status == 200 for answer in answers)

    async def run(self, until: trio.Event) -> None:
        """Send until asked to end; what is under way is finished."""
        async with trio.open_nursery() as nursery:
            for company in self._companies:
                nursery.start_soon(self._send, company, until)
                nursery.start_soon(self._send_back, company, until)

    async def _send(self, company: User, until: trio.Event) -> None:
        number = 0
        while not until.is_set():
            number += 1
            began = trio.current_time()
            answer = await self._api.try_send(company.company, self._listener.user.phone, f"{company.company} {number}")
            self.account.answers.append(_told(company, began, answer))
            await trio.sleep(PAUSE_S)

    async def _send_back(self, company: User, until: trio.Event) -> None:
        number = 0
        while not until.is_set():
            number += 1
            await self._talker.wait_repeatable()
            message_id = await self._talker.send(company, f"to {company.company} {number}")
            self.account.sent_back[message_id] = company, trio.current_time()
            await trio.sleep(PAUSE_S)


def _told(company: User, began: float, answer: httpx.Response) -> Answer:
    body = answer.json() if answer.status_code else {"code": "no_answer"}
    return Answer(
        company=company.company,
        began=began,
        seconds=trio.current_time() - began,
        status=answer.status_code,
        code=body.get("code", "ok"),
        message_id=body.get("messageId", ""),
        retry_after=answer.headers.get("Retry-After"),
    )


@asynccontextmanager
async def flowing(api: Api, listener: Peer, talker: Peer, companies: Sequence[User]) -> AsyncGenerator[Traffic]:
    """Traffic while the block runs; it has ended when the block is left."""
    traffic = Traffic(api, listener, talker, companies)
    done = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(traffic.run, done)
        yield traffic
        done.set()
