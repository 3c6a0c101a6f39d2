"""The janitor: removes expired keys, old events, idempotency records, dead letters and unused credentials every few hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, final

import structlog

from config.sections import JanitorSettings, WebhookSettings
from storage.database.pool import Database
from storage.errors import StorageUnavailable
from storage.upkeep.sweep import Swept, sweep
from supervisor import Actor, Request

FIRST_SWEEP_S: Final = 60.0
"""The first sweep comes this soon after a start, so that a daemon that is often restarted sweeps too."""


@dataclass(frozen=True, slots=True)
class Sweep(Request[Swept]):
    """Sweep now."""


@final
class JanitorActor(Actor):
    """Sweeps soon after its start, every ``interval_s`` seconds, and when asked. While the database is away it skips a sweep."""

    def __init__(
        self, database: Database, *, settings: JanitorSettings, webhooks: WebhookSettings, keep_events_s: float
    ) -> None:
        self._database = database
        self._settings = settings
        self._webhooks = webhooks
        self._keep_events_s = keep_events_s
        self._log = structlog.get_logger("wasup.janitor")

    async def started(self) -> None:
        self.context.after(min(FIRST_SWEEP_S, self._settings.interval_s), Sweep())
        self.context.every(self._settings.interval_s, Sweep())

    async def receive(self, message: Any) -> Any:
        match message:
            case Sweep():
                return await self._sweep()
            case _:
                raise TypeError(f"the janitor does not understand {type(message).__name__}")

    async def _sweep(self) -> Swept:
        try:
            swept = await sweep(
                self._database,
                keep_events_s=self._keep_events_s,
                keep_archives_s=self._settings.archive_retention_s,
                webhooks=self._webhooks,
                batch_rows=self._settings.batch_rows,
            )
        except StorageUnavailable as error:
            self._log.warning("sweep_postponed", reason=str(error))
            return Swept(keys=0, events=0, idempotency=0, refreshed=0, dead_letters=0)
        self._log.info(
            "swept",
            keys=swept.keys,
            refreshed=swept.refreshed,
            events=swept.events,
            idempotency=swept.idempotency,
            dead_letters=swept.dead_letters,
            media=swept.media,
            archives=swept.archives,
            erased=swept.erased,
        )
        return swept
