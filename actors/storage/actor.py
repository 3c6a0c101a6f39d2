"""The storage actor: the only writer of auth state, leases, companies and events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol, final

import trio

from actors.counting import Sample
from actors.messages import Refused
from actors.storage.requests import CheckWritable
from actors.storage.work import Work, perform
from config.sections import StorageSettings
from storage.errors import StorageError, StorageUnavailable
from storage.pool import Database
from supervisor import Actor, ReplyTo


class StorageMetrics(Protocol):
    """What the storage actor counts (actors.metrics.Metrics does)."""

    def committed(self, seconds: float, keys: int) -> None: ...

    def set_source(self, name: str, source: Callable[[], Iterable[Sample]]) -> None: ...


@final
class StorageActor(Actor):
    """Takes `actors.storage.requests`, commits what is waiting in one transaction, answers after the commit.

    While Postgres is away it keeps what it has taken and tries again with back-off; new requests wait too, until
    ``queue_deltas`` do, and are refused then.
    A caller that stops waiting does not undo its write. If this actor crashes, its callers are told at once and repeat.
    """

    def __init__(
        self, database: Database, *, settings: StorageSettings, owner: str, lease_ttl_s: float, metrics: StorageMetrics
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._database = database
        self._owner = owner
        self._lease_ttl_s = lease_ttl_s
        self._waiting: deque[tuple[Any, ReplyTo[Any]]] = deque()
        self._wake = trio.Event()
        self._failing: str | None = None

    async def started(self) -> None:
        self._metrics.set_source("storage", self._samples)
        self.context.spawn(self._write, name="writer")

    async def receive(self, message: Any) -> Any:
        if isinstance(message, CheckWritable):
            if self._failing is not None:
                raise _unavailable(self._failing)
            return
        if len(self._waiting) >= self._settings.queue_deltas:
            raise _unavailable("too many writes are waiting")
        self._waiting.append((message, self.context.defer()))
        self._wake.set()

    async def stopping(self, reason: object) -> None:
        """Commit what was taken; the supervisor's deadline is the bound."""
        while self._waiting and self._failing is None:
            await trio.sleep(0.01)

    def _samples(self) -> Iterable[Sample]:
        yield Sample("wasup_storage_waiting", "Writes that wait for their commit", len(self._waiting))
        yield Sample("wasup_storage_available", "1: Postgres takes writes", float(self._failing is None))
        pool = self._database.statistics()
        yield Sample("wasup_postgres_connections", "Connections open now", pool.size)
        yield Sample("wasup_postgres_connections_busy", "Connections in use now", pool.size - pool.idle)
        yield Sample("wasup_postgres_connections_max", "Connections there may be", pool.limit)
        unavailable = "Reads and writes that the database was away for"
        yield Sample("wasup_postgres_unavailable", unavailable, pool.unavailable, kind="counter")

    async def _write(self) -> None:
        while True:
            while not self._waiting:
                self._wake = trio.Event()
                await self._wake.wait()
            batch = [self._waiting[index] for index in range(min(self._settings.batch_deltas, len(self._waiting)))]
            work = Work(tuple(request for request, _ in batch), self._owner, self._lease_ttl_s)
            outcomes = await self._perform(work)
            for (_, reply), outcome in zip(batch, outcomes, strict=True):
                self._waiting.popleft()
                if isinstance(outcome, Exception):
                    reply.fail(outcome)
                else:
                    reply.reply(outcome)

    async def _perform(self, work: Work) -> list[Any]:
        """One transaction, repeated until Postgres takes it: every request in it may be repeated without harm.

        When Postgres refuses what one request wants to write, each is tried by itself, so that it hurts only its own caller.
        """
        wait_s = self._settings.retry_min_s
        began = trio.current_time()
        while True:
            try:
                outcomes = await self._database.write(perform, work)
            except StorageUnavailable as error:
                self._failing = str(error)
                await trio.sleep(wait_s)
                wait_s = min(self._settings.retry_max_s, wait_s * 2)
            except StorageError as error:
                if len(work.requests) == 1:
                    return [Refused("storage_rejected", f"Postgres cannot store this: {error}")]
                return [outcome for single in work.singles() for outcome in await self._perform(single)]
            else:
                self._failing = None
                self._metrics.committed(trio.current_time() - began, work.keys)
                return outcomes


def _unavailable(why: str) -> Refused:
    return Refused("storage_unavailable", f"Postgres does not take writes at the moment: {why}", retry_after_s=5.0)
