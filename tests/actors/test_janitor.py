"""The janitor: when it sweeps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import trio
from trio.testing import MockClock

from actors.janitor import JanitorActor
from config.sections import JanitorSettings, WebhookSettings
from storage.crypto.sealing import Vault
from storage.database.pool import Database
from storage.errors import StorageUnavailable
from supervisor import ChildSpec, SupervisorSpec, open_system


class CountingDatabase:
    """Counts sweeps by their first query; away when the test says so."""

    def __init__(self) -> None:
        self.asked_at: list[float] = []
        self.away = False
        self.vault = Vault()

    async def fetchval(self, _sql: str, *_args: Any) -> int:
        await trio.lowlevel.checkpoint()
        self.asked_at.append(trio.current_time())
        if self.away:
            raise StorageUnavailable("switched off")
        return 0

    async def fetch(self, _sql: str, *_args: Any) -> list[Any]:
        await trio.lowlevel.checkpoint()
        return []

    async def write(self, _fn: Callable[..., Awaitable[Any]], *_args: Any) -> int:
        await trio.lowlevel.checkpoint()
        return 0


async def test_it_sweeps_soon_after_a_start_and_every_six_hours(autojump_clock: MockClock) -> None:
    """Also when the database was away for a sweep."""
    database = CountingDatabase()

    def make(_: Any) -> JanitorActor:
        return JanitorActor(
            cast("Database", database), settings=JanitorSettings(), webhooks=WebhookSettings(), keep_events_s=60.0
        )

    async with open_system(SupervisorSpec([ChildSpec(id="janitor", start=make)])):
        began = trio.current_time()
        await trio.sleep(3600)
        database.away = True
        await trio.sleep(18 * 3600)

    assert [round(at - began) for at in database.asked_at] == [60, 6 * 3600, 12 * 3600, 18 * 3600]
