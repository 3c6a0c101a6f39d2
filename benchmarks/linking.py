"""Links companies through the API; phones of the loopback WhatsApp scan their QR codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import trio

from tests.loopback.remote import connect_loopback
from tests.support.api import SESSIONS, Api
from tests.support.eventually import eventually
from tests.support.site import Site, User, join_whatsapp

AT_ONCE: Final = 5
"""Companies that are being linked at the same time."""
LINK_WITHIN_S: Final = 60.0


async def link(site: Site, api: Api, users: Sequence[User]) -> float:
    """Link and connect these companies, `AT_ONCE` at a time. Return how many seconds it took."""
    async with connect_loopback(site.endpoints) as loopback:
        await join_whatsapp(loopback, users)
    waiting = iter(users)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(min(AT_ONCE, len(users))):
            nursery.start_soon(_link_each, site, api, waiting)
    return trio.current_time() - began


async def _link_each(site: Site, api: Api, waiting: Iterator[User]) -> None:
    # A control connection serves one call at a time, and a scan takes as long as the pairing, so each company has its own.
    async with connect_loopback(site.endpoints) as loopback:
        for user in waiting:
            offered = await api.post(f"{SESSIONS}/{user.company}/initialize", {"method": "qr"})
            await loopback.scan(user.phone, offered["qr"])
            await _wait_connected(api, user.company)


async def _wait_connected(api: Api, company: str) -> None:
    async def look() -> bool:
        return bool((await api.status(company))["status"] == "connected")

    await eventually(f"{company} to be connected", look, within=LINK_WITHIN_S)
