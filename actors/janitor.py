"""The janitor: expired keys, old events and old idempotency records go every few hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import msgspec
import structlog

from config.sections import JanitorSettings
from storage import events
from storage.errors import StorageUnavailable
from storage.expiry import sweep_keys
from storage.idempotency import prune as prune_answers
from storage.pool import Database
from supervisor import Actor, Request


class Swept(msgspec.Struct, frozen=True):
    """What one sweep removed."""

    keys: int
    events: int
    idempotency: int


@dataclass(frozen=True, slots=True)
class Sweep(Request[Swept]):
    """Sweep now."""


@final
class JanitorActor(Actor):
    """Sweeps every ``interval_s`` seconds, and when asked. A database that is away is left for the next time."""

    def __init__(self, database: Database, *, settings: JanitorSettings, keep_events_s: float) -> None:
        self._database = database
        self._settings = settings
        self._keep_events_s = keep_events_s
        self._log = structlog.get_logger("wasup.janitor")

    async def started(self) -> None:
        self.context.every(self._settings.interval_s, Sweep())

    async def receive(self, message: Any) -> Any:
        match message:
            case Sweep():
                return await self._sweep()
            case _:
                raise TypeError(f"the janitor does not understand {type(message).__name__}")

    async def _sweep(self) -> Swept:
        try:
            swept = Swept(
                keys=(await sweep_keys(self._database, self._settings.batch_rows)).deleted,
                events=await events.prune(self._database, self._keep_events_s),
                idempotency=await prune_answers(self._database),
            )
        except StorageUnavailable as error:
            self._log.warning("sweep_postponed", reason=str(error))
            return Swept(0, 0, 0)
        self._log.info("swept", keys=swept.keys, events=swept.events, idempotency=swept.idempotency)
        return swept
