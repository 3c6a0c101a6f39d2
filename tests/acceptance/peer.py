"""Real WhatsApp clients outside wasup: what they decrypt, wasup has encrypted well."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, final

import trio

from tests.loopback.endpoints import Endpoints
from tests.loopback.peers import PeerEvent, Peers
from tests.loopback.remote import RemoteLoopback
from tests.support.eventually import eventually
from tests.support.site import Site, User

CONNECTED_WITHIN_S: Final = 20.0
REPEATABLE: Final = 128
"""The library of these clients can encrypt the last 256 messages anew when their recipient asks; half of that, because an
acknowledged message may be asked for a little later. A phone can do so with all its messages."""
DELIVERED_WITHIN_S: Final = 180.0
Start = Callable[[Endpoints, Path], AbstractAsyncContextManager[Peers]]


@final
class Peer:
    """One linked client."""

    def __init__(self, user: User, peers: Peers, loopback: RemoteLoopback) -> None:
        self.user = user
        self._peers = peers
        self._loopback = loopback
        self._sent: dict[str, int] = {}
        self._oldest = 0
        self._asking = trio.Lock()

    async def send(self, to: User, text: str, *, quoted: PeerEvent | None = None) -> str:
        """Send a text; return its message id."""
        id_ = await self._peers.send(self.user.phone, quoted.chat if quoted else to.phone, text, quoted=quoted)
        self._sent[id_] = len(self._sent)
        return id_

    async def wait_repeatable(self) -> None:
        """Wait until every text that WhatsApp still holds is among the last `REPEATABLE`: a client that sends fast while its recipients are
        away has to wait, or it could not answer when they ask for one again, as a phone could."""

        async def look() -> bool:
            if len(self._sent) - self._oldest >= REPEATABLE:
                held = [self._sent[id_] for id_ in await self._loopback.undelivered() if id_ in self._sent]
                self._oldest = min(held, default=len(self._sent))
            return len(self._sent) - self._oldest < REPEATABLE

        async with self._asking:
            await eventually("texts to be delivered", look, within=DELIVERED_WITHIN_S)

    async def send_content(self, to: str, content: dict[str, Any]) -> str:
        """Send any message; return its id. See `Peers.send_content`."""
        return await self._peers.send_content(self.user.phone, to, content)

    async def upload(self, kind: str, data: bytes) -> dict[str, Any]:
        """Upload a file to WhatsApp; return the fields for its message. neonize only."""
        return await self._peers.upload(self.user.phone, kind, data)

    async def download(self, message_id: str) -> bytes:
        """The file of a message that arrived."""
        return await self._peers.download(self.user.phone, message_id)

    async def event(self, kind: str, where: Callable[[PeerEvent], bool]) -> PeerEvent:
        """The next fitting event of this kind."""
        return await self._peers.event(self.user.phone, kind, where=where)

    def received(self) -> dict[str, PeerEvent]:
        """The messages it decrypted, by id."""
        return {event.id: event for event in self._peers.pending(self.user.phone, "message")}

    def arrivals(self) -> Counter[str]:
        """How often each message arrived, by id."""
        return Counter(event.id for event in self._peers.pending(self.user.phone, "message"))

    async def message(self, message_id: str) -> PeerEvent:
        """The message of this id, waiting for it."""
        await self.wait_received({message_id})
        return self.received()[message_id]

    async def wait_received(self, ids: Collection[str], *, within: float = 10.0) -> None:
        """Wait until it has decrypted all of these messages."""
        missing = set(ids)

        async def look() -> bool:
            missing.difference_update(self.received())
            return not missing

        try:
            await eventually(f"{self.user.phone} to decrypt {len(ids)} messages", look, within=within)
        except AssertionError as error:
            raise AssertionError(f"{error}; missing: {sorted(missing)}") from None


@asynccontextmanager
async def open_peers(
    start: Start, users: Sequence[User], site: Site, loopback: RemoteLoopback
) -> AsyncGenerator[tuple[Peer, ...]]:
    """Connect the clients of these users inside the block. Their state stays in the site's directory; a later block only logs in."""
    directory = site.directory / "-".join(["peers", *(user.phone for user in users)])
    is_new = not directory.exists()
    directory.mkdir(exist_ok=True)
    async with start(site.endpoints, directory) as peers:
        for user in users:
            await peers.open(user.phone)
            if is_new:
                await loopback.scan(user.phone, (await peers.event(user.phone, "qr")).qr)
            with trio.fail_after(CONNECTED_WITHIN_S):
                await peers.event(user.phone, "connected")
            await loopback.wait_logged_in(user.phone)
        yield tuple(Peer(user, peers, loopback) for user in users)
