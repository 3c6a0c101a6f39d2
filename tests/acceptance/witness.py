"""What changed since a moment, according to WhatsApp and the event log."""

from __future__ import annotations

from typing import final

from tests.acceptance.peer import Peer
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.site import User


@final
class Witness:
    """Remembers a moment; made by `witness`."""

    def __init__(self, api: Api, loopback: RemoteLoopback, counters: dict[str, int], seq: int) -> None:
        self.seq = seq
        """The number of the last event before that moment."""
        self._api = api
        self._loopback = loopback
        self._counters = counters

    async def more(self, counter: str) -> int:
        """By how much a counter of the loopback (`tests.loopback.journal.Counters`) has grown."""
        return (await self._loopback.counters())[counter] - self._counters[counter]

    async def statuses(self, user: User) -> list[str]:
        """The states a company went through."""
        events = await self._api.events(self.seq, company=user.company, kind="status")
        return [event["payload"]["status"] for event in events]

    async def assert_no_pairing(self) -> None:
        """No company was asked to link again, and none did."""
        offers = [*await self._api.events(self.seq, kind="qr"), *await self._api.events(self.seq, kind="pairing_code")]

        assert offers == []
        assert await self.more("pairings") == 0

    async def assert_conversations_go_on(self, peer: Peer, *users: User) -> None:
        """The very next message between the peer and each company is decrypted, in both directions, at the first attempt."""
        for user in users:
            there = await self._api.send(user.company, peer.user.phone, f"next of {user.company}")
            back = await peer.send(user, f"next to {user.company}")

            assert (await peer.message(there)).text == f"next of {user.company}"
            await self._api.message(user.company, back)
        assert await self.more("retry_receipts") == 0


async def witness(api: Api, loopback: RemoteLoopback) -> Witness:
    """A witness of what happens from now on."""
    return Witness(api, loopback, await loopback.counters(), await api.last_seq())
