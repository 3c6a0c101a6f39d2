"""The storage actor: the only writer of auth state, leases, companies and events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol, final

import structlog
import trio

from actors.daemon.metric_types import Sample
from actors.messages import Refused
from actors.storage.requests import CheckWritable
from actors.storage.write_batch import WriteBatch, is_ordinary, perform, perform_single_statement
from actors.storage.write_queue import Entry, WriteQueue, by_ordering_key, size_of
from config.doubling import Doubling
from config.sections import StorageSettings
from storage.database.pool import Database
from storage.errors import QueryFailed, StorageBusy, StorageError, StorageFull, StorageUnavailable
from storage.tables.data_keys import KnownDataKeys
from supervisor import Actor

LANES_ASIDE: Final = 8
"""With more companies than this blocked by locks, the whole batch waits, as for a database-wide problem. Each may hold a connection."""
ASIDE_DRAIN_S: Final = 1.0
QUIET_TURNS: Final = 3
"""A batch is taken after this many turns of the event loop without a new request: in one, callers read their replies and write again; in
the next, their requests are received; and the order of tasks within a turn is arbitrary."""
MOST_TURNS: Final = 16
"""A batch is taken after this many turns, even if more requests come."""


class StorageMetrics(Protocol):
    """Counts for the storage actor. `actors.daemon.metrics.Metrics` implements it."""

    def committed(self, seconds: float, keys: int) -> None: ...

    def set_source(self, name: str, source: Callable[[], Iterable[Sample]]) -> None: ...


@final
class StorageActor(Actor):
    """Takes `actors.storage.requests`, commits waiting ones in one transaction, and replies after the commit. If a batch has only ordinary
    deltas and new events, it is written by one statement for each of the two kinds.

    While Postgres is away it keeps waiting requests and retries with back-off. It takes new requests up to ``queue_deltas`` or
    ``queue_bytes``, and refuses further ones. A company whose rows another transaction has locked waits by itself, and the others go on.
    A caller that stops waiting does not undo its write. If this actor crashes, its callers get an error at once, and repeat.
    """

    def __init__(
        self, database: Database, *, settings: StorageSettings, owner: str, lease_ttl_s: float, metrics: StorageMetrics
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._database = database
        self._owner = owner
        self._lease_ttl_s = lease_ttl_s
        self._known = KnownDataKeys()
        self._waiting = WriteQueue()
        self._wake = trio.Event()
        self._failing: StorageUnavailable | None = None
        self._began: float | None = None
        """When the present attempt to commit began; None when there is none."""
        self._log = structlog.get_logger("wasup.storage")

    async def started(self) -> None:
        self._metrics.set_source("storage", self._samples)
        self.context.spawn(self._write, name="writer")

    async def receive(self, message: Any) -> Any:
        if isinstance(message, CheckWritable):
            return self._check_writable(message.company_id)
        size = size_of(message)
        if self._waiting.count >= self._settings.queue_deltas or (
            self._waiting.bytes and self._waiting.bytes + size > self._settings.queue_bytes
        ):
            raise _unavailable("too many writes are waiting")
        self._waiting.put(Entry(message, self.context.defer(), size))
        self._wake.set()
        return None

    async def stopping(self, reason: object) -> None:
        """Commit what was taken, until the supervisor's deadline. Requests blocked by locks get a second."""
        while self._waiting.has_main and self._failing is None:
            await trio.sleep(0.01)
        with trio.move_on_after(ASIDE_DRAIN_S):
            while self._waiting.lanes_aside and self._failing is None:
                await trio.sleep(0.01)

    def _check_writable(self, company_id: str | None) -> None:
        if self._failing is not None:
            raise _refusal_of(self._failing)
        if self._began is not None and trio.current_time() - self._began > self._settings.stalled_after_s:
            raise _unavailable("a commit hangs")
        if company_id is not None and self._waiting.is_aside(company_id):
            raise _unavailable("somebody else has locked this company's rows")

    def _samples(self) -> Iterable[Sample]:
        yield Sample("wasup_storage_waiting", "Writes that wait for their commit", self._waiting.count)
        yield Sample("wasup_storage_waiting_bytes", "What they carry", self._waiting.bytes)
        aside = "Companies that wait by themselves because somebody else has locked their rows"
        yield Sample("wasup_storage_locked_companies", aside, self._waiting.lanes_aside)
        yield Sample("wasup_storage_available", "1: Postgres takes writes", float(self._failing is None))
        pool = self._database.statistics()
        yield Sample("wasup_postgres_connections", "Connections open now", pool.size)
        yield Sample("wasup_postgres_connections_busy", "Connections in use now", pool.size - pool.idle)
        yield Sample("wasup_postgres_connections_max", "Connections there may be", pool.limit)
        pooled = "1: a pooler in transaction mode is before Postgres"
        yield Sample("wasup_postgres_pooled", pooled, float(bool(pool.is_pooled)))
        unavailable = "Reads and writes that the database was away for"
        yield Sample("wasup_postgres_unavailable", unavailable, pool.unavailable, kind="counter")

    # --- the writer ---

    async def _write(self) -> None:
        while True:
            while not self._waiting.has_main:
                self._wake = trio.Event()
                await self._wake.wait()
            await self._let_in()
            await self._commit_batch()

    async def _let_in(self) -> None:
        """Wait for requests that are on their way, for the same transaction: two small ones cost nearly twice as much as one."""
        turns = quiet = 0
        while quiet < QUIET_TURNS and turns < MOST_TURNS:
            before = self._waiting.count
            await trio.lowlevel.checkpoint()
            quiet = quiet + 1 if self._waiting.count == before else 0
            turns += 1

    async def _commit_batch(self) -> None:
        """Commit the oldest entries, and retry until Postgres takes them: every request may be repeated without harm."""
        pauses = Doubling(self._settings.retry_min_s, self._settings.retry_max_s)
        while entries := self._waiting.main(self._settings.batch_deltas):
            try:
                await self._commit(entries)
            except StorageBusy as busy:
                if await self._sort_out(entries):
                    return
                self._failing = busy
            except StorageUnavailable as error:
                self._failing = error
            else:
                return
            await trio.sleep(pauses.next_s())

    async def _commit(self, entries: Sequence[Entry]) -> None:
        """Commit entries, and note the state that `CheckWritable` checks."""
        self._began = trio.current_time()
        try:
            await self._transact(entries)
        finally:
            self._began = None
        self._failing = None

    async def _transact(self, entries: Sequence[Entry]) -> None:
        """Commit the entries in one transaction, then reply. Raises `StorageUnavailable` when it has to be tried again.

        If Postgres refuses to store one request, each is tried by itself, so that only its own caller gets the error.
        """
        work = WriteBatch(tuple(entry.request for entry in entries), self._owner, self._lease_ttl_s, self._known)
        began = trio.current_time()
        try:
            outcomes = await self._perform(work)
        except StorageUnavailable:
            raise
        except StorageError as error:
            if len(entries) > 1:
                for entry in entries:
                    await self._transact([entry])
                return
            outcomes = [Refused("storage_rejected", f"Postgres cannot store this: {error}")]
        self._metrics.committed(trio.current_time() - began, work.keys)
        for entry, outcome in zip(entries, outcomes, strict=True):
            self._waiting.answer(entry, outcome)

    async def _perform(self, work: WriteBatch) -> list[Any]:
        lock_timeout_s = self._settings.lock_timeout_s
        if is_ordinary(work):
            with suppress(QueryFailed):  # the transaction finds out which request is refused
                outcomes = await self._database.write_single_statement(perform_single_statement, work, lock_timeout_s)
                if outcomes is not None:
                    return outcomes
        return await self._database.write_unless_locked(lock_timeout_s, perform, work)

    # --- rows that another transaction has locked ---

    async def _sort_out(self, entries: Sequence[Entry]) -> bool:
        """Commit each ordering key by itself, and set aside those that are locked. Return False when too many are, or Postgres is away."""
        locked: list[str] = []
        for ordering_key, own in by_ordering_key([entry for entry in entries if not entry.answered]).items():
            try:
                await self._commit(own)
            except StorageBusy:
                locked.append(ordering_key)
                if len(locked) + self._waiting.lanes_aside > LANES_ASIDE:
                    return False
            except StorageUnavailable:
                return False
        for ordering_key in locked:
            self._waiting.set_aside(ordering_key)
            self._log.warning("rows_locked", company_id=ordering_key)
            self.context.spawn(self._write_aside, ordering_key, name=f"aside {ordering_key}")
        return True

    async def _write_aside(self, ordering_key: str) -> None:
        """Commit the entries of an ordering key that was set aside, until none is left."""
        pauses = Doubling(self._settings.retry_min_s, self._settings.retry_max_s)
        while not self._waiting.rejoin(ordering_key):
            try:
                await self._transact(self._waiting.aside(ordering_key, self._settings.batch_deltas))
            except StorageUnavailable:
                await trio.sleep(pauses.next_s())
        self._log.info("rows_free", company_id=ordering_key)


def _refusal_of(error: StorageUnavailable) -> Refused:
    if isinstance(error, StorageFull) and error.on_disk:
        return Refused("storage_full", f"the disk of Postgres is full: {error.reason}", retry_after_s=5.0)
    return _unavailable(str(error))


def _unavailable(why: str) -> Refused:
    return Refused("storage_unavailable", f"Postgres does not take writes at the moment: {why}", retry_after_s=5.0)
