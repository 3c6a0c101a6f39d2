"""Companies that come and go: made, linked by QR code, used, deleted."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Final, final

import httpx
import trio

from benchmarks.soak.texts import Texts
from tests.loopback.remote import LoopbackError, RemoteLoopback, connect_loopback
from tests.support.api import SESSIONS, Api, Json
from tests.support.site import Site, User, join_whatsapp

FIRST: Final = 1001
"""The numbers of the users that companies come and go for; they are used again and again."""
USERS: Final = 20
EVERY_S: Final = 3.0
AT_ONCE: Final = 4
"""Lives at the same time at most: a fault may make one take long."""
LIFE_WITHIN_S: Final = 120.0
AGAIN_S: Final = 0.5


@final
class Churn:
    """Begins a life every `EVERY_S`. ``lives``: how they ended."""

    def __init__(self, site: Site, api: Api, texts: Texts) -> None:
        self.lives: Counter[str] = Counter()
        self.users: Sequence[User] = [User(FIRST + number) for number in range(USERS)]
        self._site = site
        self._api = api
        self._texts = texts

    async def run(self, until: trio.Event) -> None:
        """Until told to end; the lives that have begun are lived to their end."""
        async with connect_loopback(self._site.endpoints) as loopback:
            await join_whatsapp(loopback, self.users)
        free = trio.Semaphore(AT_ONCE)
        async with trio.open_nursery() as nursery:
            for user in itertools.cycle(self.users):
                if until.is_set():
                    return
                await free.acquire()
                nursery.start_soon(self._live, user, free)
                with trio.move_on_after(EVERY_S):
                    await until.wait()

    async def _live(self, user: User, free: trio.Semaphore) -> None:
        self.lives[await self._life(user)] += 1
        free.release()

    async def _life(self, user: User) -> str:
        reached = "not linked"
        with trio.move_on_after(LIFE_WITHIN_S):
            # A control connection serves one call at a time, and a scan takes as long as the pairing: each life has its own.
            async with connect_loopback(self._site.endpoints) as loopback:
                await self._link(loopback, user)
            reached = "linked, no text acknowledged"
            while not await self._texts.exchange(user):
                await trio.sleep(AGAIN_S)
            reached = "whole"
        with trio.move_on_after(LIFE_WITHIN_S):
            await self._forget(user)
            return reached
        return "not deleted"

    async def _link(self, loopback: RemoteLoopback, user: User) -> None:
        while await self._state(user) != "connected":
            offered = await self._call("POST", f"{SESSIONS}/{user.company}/initialize", {"method": "qr"})
            if offered is not None:
                await _scan(loopback, user, str(offered.get("qr", "")))
            await trio.sleep(AGAIN_S)

    async def _state(self, user: User) -> str:
        status = await self._call("GET", f"{SESSIONS}/{user.company}/status", None)
        return "" if status is None else str(status["status"])

    async def _forget(self, user: User) -> None:
        while True:
            answer = await self._try("DELETE", f"{SESSIONS}/{user.company}", None)
            if answer.status_code in (200, 404):
                return
            await trio.sleep(AGAIN_S)

    async def _call(self, method: str, path: str, body: Json | None) -> Json | None:
        answer = await self._try(method, path, body)
        found: Json | None = answer.json() if answer.status_code == 200 else None
        return found

    async def _try(self, method: str, path: str, body: Json | None) -> httpx.Response:
        try:
            return await self._api.call(method, path, json=body)
        except httpx.TransportError as error:
            return httpx.Response(0, text=f"{type(error).__name__}: {error}")


async def _scan(loopback: RemoteLoopback, user: User, qr: str) -> None:
    try:
        await loopback.scan(user.phone, qr)
    except LoopbackError:  # the code has expired, or its connection was broken: there will be another
        await trio.lowlevel.checkpoint()
