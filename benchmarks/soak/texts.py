"""Sends texts both ways at a steady pace, and checks that they arrive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, final

import trio

from tests.acceptance.peer import Peer
from tests.loopback.peers import PeerError
from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.site import User

PAUSE_S: Final = 1.0
"""The pause between two texts of a company, and between two to a company."""
ARRIVE_WITHIN_S: Final = 120.0
TOLD_BY_CLIENTS: Final = ("receipt", "chat_state", "undecryptable", "closed", "connected")
"""Events of the clients that are discarded: they would pile up here."""


@final
class Texts:
    """Companies send to the listener, and the talker sends to companies. (tests/acceptance/traffic.py says why they are two.)"""

    def __init__(self, api: Api, listener: Peer, talker: Peer) -> None:
        self.codes: Counter[str] = Counter()
        """How many sends got each result."""
        self.arrivals: Counter[str] = Counter()
        self.acknowledged: set[str] = set()
        self.written = 0
        """How many texts the talker has sent."""
        self._api = api
        self._listener = listener
        self._talker = talker

    async def run(self, companies: Sequence[User]) -> None:
        """Have these companies exchange texts until cancelled."""
        async with trio.open_nursery() as nursery:
            for company in companies:
                nursery.start_soon(self._talk, company)

    async def collect(self) -> None:
        """Discard the clients' events until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._collect_arrivals)
            for peer in (self._listener, self._talker):
                for kind in TOLD_BY_CLIENTS:
                    nursery.start_soon(_discard, peer, kind)

    async def exchange(self, company: str, user: User) -> bool:
        """Send a text each way. Return whether WhatsApp acknowledged the company's."""
        answer = await self._api.try_send(company, self._listener.user.phone, f"of {company}")
        body = answer.json() if answer.status_code else {"code": "no_answer"}
        self.codes[body.get("code", "ok")] += 1
        if answer.status_code == 200:
            self.acknowledged.add(body["messageId"])
        with suppress(PeerError):  # faults of WhatsApp affect the talker, too
            await self._talker.send(user, f"to {company}")
            self.written += 1
        return answer.status_code == 200

    async def wait_arrived(self) -> None:
        """Wait until the listener has every acknowledged text. Raises AssertionError when one is missing, or came twice."""

        async def look() -> bool:
            await trio.lowlevel.checkpoint()
            return not self.acknowledged - self.arrivals.keys()

        await eventually("every acknowledged text to arrive", look, within=ARRIVE_WITHIN_S)
        twice = sorted(id_ for id_, times in self.arrivals.items() if times > 1)
        assert not twice, f"arrived twice: {twice[:10]}"

    async def _talk(self, company: User) -> None:
        while True:
            await self.exchange(company.company, company)
            await trio.sleep(PAUSE_S)

    async def _collect_arrivals(self) -> None:
        while True:
            event = await _next(self._listener, "message")
            self.arrivals[event] += 1


async def _discard(peer: Peer, kind: str) -> None:
    while True:
        await _next(peer, kind)


async def _next(peer: Peer, kind: str) -> str:
    """Return the id of the client's next event of this kind, however long it takes."""
    while True:
        try:
            return (await peer.event(kind, lambda _: True)).id
        except trio.TooSlowError:
            continue
