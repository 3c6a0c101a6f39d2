"""Companies with short lives: made, linked by QR code, used, deleted."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Final, final

import httpx
import trio

from benchmarks.soak.texts import Texts
from tests.loopback.remote import LoopbackError, RemoteLoopback, connect_loopback
from tests.support.api import SESSIONS, Api, Json
from tests.support.site import Site, User, join_whatsapp

FIRST: Final = 1001
"""The number of the first phone for these companies. Phones are reused, companies' ids are not."""
PHONES: Final = 20
EVERY_S: Final = 3.0
AT_ONCE: Final = 4
"""The most lives at the same time: a fault may make one take long."""
LIFE_WITHIN_S: Final = 120.0
AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Guest:
    """A company and the phone that it is linked to."""

    company: str
    user: User


@final
class Churn:
    """Begins a company's life every `EVERY_S`. ``lives`` counts how they ended."""

    def __init__(self, site: Site, api: Api, texts: Texts) -> None:
        self.lives: Counter[str] = Counter()
        self.companies: list[str] = []
        """All companies so far."""
        self._users = [User(FIRST + number) for number in range(PHONES)]
        self._site = site
        self._api = api
        self._texts = texts

    async def run(self, until: trio.Event) -> None:
        """Run until ``until`` is set, and until the lives that have begun end."""
        async with connect_loopback(self._site.endpoints) as loopback:
            await join_whatsapp(loopback, self._users)
        free = trio.Semaphore(AT_ONCE)
        async with trio.open_nursery() as nursery:
            for user in itertools.cycle(self._users):
                if until.is_set():
                    return
                await free.acquire()
                self.companies.append(f"churn-{len(self.companies) + 1}")
                nursery.start_soon(self._live, Guest(self.companies[-1], user), free)
                with trio.move_on_after(EVERY_S):
                    await until.wait()

    async def _live(self, guest: Guest, free: trio.Semaphore) -> None:
        self.lives[await self._life(guest)] += 1
        free.release()

    async def _life(self, guest: Guest) -> str:
        reached = "not linked"
        with trio.move_on_after(LIFE_WITHIN_S):
            # A control connection serves one call at a time, and a scan takes as long as the pairing, so each life has its own.
            async with connect_loopback(self._site.endpoints) as loopback:
                await self._link(loopback, guest)
            reached = "linked, no text acknowledged"
            while not await self._texts.exchange(guest.company, guest.user):
                await trio.sleep(AGAIN_S)
            reached = "whole"
        with trio.move_on_after(LIFE_WITHIN_S):
            await self._forget(guest)
            return reached
        return "not deleted"

    async def _link(self, loopback: RemoteLoopback, guest: Guest) -> None:
        while await self._state(guest) != "connected":
            offered = await self._call("POST", f"{SESSIONS}/{guest.company}/initialize", {"method": "qr"})
            if offered is not None:
                await _scan(loopback, guest, str(offered.get("qr", "")))
            await trio.sleep(AGAIN_S)

    async def _state(self, guest: Guest) -> str:
        status = await self._call("GET", f"{SESSIONS}/{guest.company}/status", None)
        return "" if status is None else str(status["status"])

    async def _forget(self, guest: Guest) -> None:
        while True:
            answer = await self._try("DELETE", f"{SESSIONS}/{guest.company}", None)
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


async def _scan(loopback: RemoteLoopback, guest: Guest, qr: str) -> None:
    try:
        await loopback.scan(guest.user.phone, qr)
    except LoopbackError:  # the code has expired, or its connection was broken: there will be another
        await trio.lowlevel.checkpoint()
