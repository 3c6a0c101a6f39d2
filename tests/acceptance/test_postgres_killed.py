"""Postgres is killed, again and again, while messages are sent (P1)."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

import httpx
import trio

from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.site import Plan, Site, User

A, B = User(1), User(2)
PLAN = Plan(companies=(A, B), settings={"RATE_LIMIT_MAX_REQUESTS": "100000"})
KILLS = 3
PAUSE_S = 0.1
"""Between two sends of the traffic: traffic, not a load test."""


class Sender:
    """Sends texts from A to B, one after another, and keeps every response."""

    def __init__(self, api: Api) -> None:
        self.answers: list[httpx.Response] = []
        self._api = api

    @property
    def acknowledged(self) -> list[str]:
        """Ids of the messages whose sends got 200."""
        return [answer.json()["messageId"] for answer in self.answers if answer.status_code == 200]

    async def run(self) -> None:
        """Send until cancelled; a send that is under way is not counted."""
        while True:
            self.answers.append(await self._api.try_send(A.company, f"+{B.phone}", f"text {len(self.answers)}"))
            await trio.sleep(PAUSE_S)

    async def wait_acknowledged(self, more: int) -> None:
        """Wait until that many further sends were acknowledged."""
        wanted = len(self.acknowledged) + more

        async def look() -> bool:
            await trio.lowlevel.checkpoint()
            return len(self.acknowledged) >= wanted

        await eventually(f"{more} more acknowledged sends", look, within=40)


@asynccontextmanager
async def sending(api: Api) -> AsyncGenerator[Sender]:
    """Traffic from A to B during the block."""
    sender = Sender(api)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        yield sender
        nursery.cancel_scope.cancel()


def send_to_all(pids: Sequence[int] | frozenset[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # a server process whose postmaster is gone ends by itself
            os.kill(pid, number)


async def assert_all_arrived(api: Api, sender: Sender) -> None:
    """Every acknowledged message is exactly one event of B."""

    async def received() -> list[str]:
        events = await api.events(company=B.company, kind="message")
        return [event["payload"]["messageId"] for event in events]

    async def look() -> bool:
        return set(sender.acknowledged) <= set(await received())

    await eventually("every acknowledged message to be an event of the recipient", look, within=30)
    found = await received()
    assert len(found) == len(set(found))


async def test_nothing_acknowledged_is_lost_when_postgres_is_killed(
    site: Site, api: Api, loopback: RemoteLoopback
) -> None:
    """kill -9 of the whole server under traffic: restarted by its supervisor, and no connection lost."""
    logins = (await loopback.counters())["logins"]
    restarts = (await api.actor("/postgres"))["restarts"]
    with trio.fail_after(120):
        async with sending(api) as sender:
            for _ in range(KILLS):
                await sender.wait_acknowledged(5)
                send_to_all(site.daemon.postgres(), signal.SIGKILL)
            await sender.wait_acknowledged(5)

        refused = [answer for answer in sender.answers if answer.status_code != 200]
        assert {answer.status_code for answer in refused} <= {503}
        await assert_all_arrived(api, sender)
        assert (await loopback.counters())["logins"] == logins
        assert (await api.actor("/postgres"))["restarts"] == restarts + KILLS
