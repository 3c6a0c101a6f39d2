"""The events actor: stores events, then sends them to subscribers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any, final

import msgspec
import structlog
import trio

from actors.daemon.metric_types import Sample
from actors.daemon.metrics import Metrics
from actors.events.hub import Filter, Hub
from actors.events.subscription import Subscription
from actors.messages import Announce, Event, EventPage, Publish, ReadEvents, Refused, Subscribe
from actors.sharing import NoSlot, SharedSlots, Turns
from actors.storage.requests import AppendEvents
from config.sections import EventSettings
from storage.database.pool import Database
from storage.errors import StorageError, StorageUnavailable
from storage.tables import events as log
from storage.tables import removal
from supervisor import Actor, ActorRef, ExitReason, ReplyTo
from supervisor.errors import SupervisorError

BATCH = 200
RETRY_S = 0.5
REMOVED_WITHIN_S = 60.0
"""How far back each look for removed companies goes."""
STORE_TIMEOUT_S = 10.0


@final
class EventsActor(Actor):
    """Takes `Publish`, `Announce`, `Subscribe` and `ReadEvents`. An event is in Postgres before any subscriber gets it.

    Every subscriber gets the events in the order of the log. Events that another daemon stored are found there within
    ``follow_interval_s``; events of this daemon that come after them in the log wait for them.
    """

    def __init__(self, storage: ActorRef, database: Database, settings: EventSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._storage = storage
        self._database = database
        self._hub = Hub(settings.max_subscribers, settings.subscriber_events)
        self._reads = Turns(settings.max_reads, max(1, settings.max_reads // 2))
        self._slots = SharedSlots(settings.queue_events, reserve=0.0)
        self._waiting: deque[tuple[tuple[Event, ...], ReplyTo[Any] | None]] = deque()
        self._wake = trio.Event()
        self._is_behind = trio.Event()
        self._log = structlog.get_logger("wasup.events")

    async def started(self) -> None:
        self._metrics.set_source("events", self._samples)
        self.context.spawn(self._store, name="store")
        self.context.spawn(self._follow, name="follow")

    async def stopping(self, reason: ExitReason) -> None:
        """Close all subscriptions; readers resume by ``after``."""
        self._hub.close("restarting")

    async def receive(self, message: Any) -> Any:
        match message:
            case Publish(events):
                self._publish(events)
            case Announce(events):
                self._announce(events)
            case Subscribe():
                return await self._subscribe(message)
            case ReadEvents():
                self.context.spawn(self._read_page, message, self.context.defer(), name="read")
            case _:
                raise TypeError(f"the events actor does not understand {type(message).__name__}")
        return None

    def _publish(self, events: tuple[Event, ...]) -> None:
        try:
            self._take_slots(events)
        except NoSlot as error:
            text = f"events that wait to be stored: {error}"
            raise Refused("storage_unavailable", text, retry_after_s=5.0) from error
        self._take(events, self.context.defer())

    def _announce(self, events: tuple[Event, ...]) -> None:
        try:
            self._take_slots(events)
        except NoSlot:
            self._metrics.events_dropped(len(events))
            self._log.warning("events_dropped", count=len(events))
        else:
            self._take(events, None)

    def _take_slots(self, events: tuple[Event, ...]) -> None:
        """Take slots in the queue, which one company's events can never fill. Raises `NoSlot`."""
        if events:
            self._slots.take(events[0].company_id, len(events))  # events published together are of one company

    def _take(self, events: tuple[Event, ...], reply: ReplyTo[Any] | None) -> None:
        self._waiting.append((events, reply))
        self._wake.set()

    def _samples(self) -> Iterable[Sample]:
        yield Sample("wasup_events_waiting", "Events that wait to be stored", self._slots.taken)

    async def _store(self) -> None:
        while True:
            while not self._waiting:
                self._wake = trio.Event()
                await self._wake.wait()
            batch = [self._waiting.popleft()]
            while self._waiting and sum(len(events) for events, _ in batch) < BATCH:
                batch.append(self._waiting.popleft())
            stored = await self._append(tuple(event for events, _ in batch for event in events))
            for events, _ in batch:
                if events:
                    self._slots.give_back(events[0].company_id, len(events))
            self._tell(sorted(stored, key=lambda event: event.seq))
            for _, reply in batch:
                if reply is not None:
                    reply.reply(None)

    def _tell(self, stored: list[Event]) -> None:
        for event in stored:
            if self._hub.is_next(event):
                self._hub.broadcast([event])
        if stored and stored[-1].seq != self._hub.last_seq:
            self._is_behind.set()

    async def _follow(self) -> None:
        """Broadcast the events of the log that were not broadcast yet."""
        while True:
            with trio.move_on_after(self._settings.follow_interval_s):
                await self._is_behind.wait()
            self._is_behind = trio.Event()
            try:
                await self._catch_up()
            except StorageError as error:
                self._log.warning("log_not_followed", reason=type(error).__name__)
                await trio.sleep(RETRY_S)

    async def _catch_up(self) -> None:
        self._hub.forget(await removal.recent(self._database, REMOVED_WITHIN_S))
        newest = await log.last_seq(self._database)
        self._hub.begin(newest)
        while (last := self._hub.last_seq) is not None and last < newest:
            events, following = await self._read(last, BATCH, Filter())  # without waiting for a turn
            self._hub.broadcast(events)
            if not events:
                self._hub.skip_to(following)

    async def _append(self, events: tuple[Event, ...]) -> list[Event]:
        """Store the events, however long Postgres is away: their ids make repeating harmless."""
        while True:
            try:
                seqs = await self._storage.ask(AppendEvents(events), timeout=STORE_TIMEOUT_S)
            except Refused as refused:
                if refused.code == "storage_rejected":
                    return await self._append_singly(events)
                await trio.sleep(RETRY_S)
            except SupervisorError:
                await trio.sleep(RETRY_S)
            else:
                return [msgspec.structs.replace(event, seq=seq) for event, seq in zip(events, seqs, strict=True)]

    async def _append_singly(self, events: tuple[Event, ...]) -> list[Event]:
        """Store one event at a time, because one of them cannot be stored: log that one and keep the others."""
        if len(events) == 1:
            self._log.error("event_cannot_be_stored", type=events[0].type, company_id=events[0].company_id)
            return []
        return [stored for event in events for stored in await self._append((event,))]

    async def _subscribe(self, wanted: Subscribe) -> Subscription:
        if self._hub.last_seq is None:
            try:
                self._hub.begin(await log.last_seq(self._database))
            except StorageUnavailable as error:
                raise Refused("storage_unavailable", str(error), retry_after_s=5.0) from error
        if self._hub.is_full and not wanted.is_own:
            raise Refused("too_many_subscribers", "no more subscribers can be served", retry_after_s=10.0)
        start = (self._hub.last_seq or 0) if wanted.after is None else wanted.after
        read = partial(self._read_in_turn, wanted.reader)
        chosen = Filter(wanted.company_ids, wanted.types)
        return Subscription(self._hub, chosen, read, start, is_own=wanted.is_own)

    async def _read_page(self, wanted: ReadEvents, reply: ReplyTo[EventPage]) -> None:
        chosen = Filter(wanted.company_ids, wanted.types)
        try:
            async with self._reads.turn(wanted.reader):
                found, following = await self._read(wanted.after, wanted.limit, chosen, latest=wanted.latest)
        except StorageUnavailable as error:
            reply.fail(Refused("storage_unavailable", str(error), retry_after_s=5.0))
        else:
            reply.reply(EventPage(events=found, next=following))

    async def _read_in_turn(self, reader: str, after: int, limit: int, wanted: Filter) -> tuple[tuple[Event, ...], int]:
        """Read in this reader's turn: a reader that reads the whole log over and over delays others by a page, and cannot use up the
        pool."""
        async with self._reads.turn(reader):
            return await self._read(after, limit, wanted)

    async def _read(
        self, after: int, limit: int, wanted: Filter, *, latest: bool = False
    ) -> tuple[tuple[Event, ...], int]:
        end = await log.last_seq(self._database)
        rows = await log.read(
            self._database,
            after=after,
            limit=limit,
            company_ids=wanted.company_ids,
            types=wanted.types,
            latest=latest,
        )
        events = tuple(
            Event(
                id=row.id,
                seq=row.seq,
                type=row.type,
                company_id=row.company_id,
                timestamp=row.timestamp,
                payload=msgspec.Raw(row.payload),
            )
            for row in rows
        )
        if len(events) < limit:  # no more wanted events up to `end`, which was read before the page
            return events, max([after, end, *(event.seq for event in events)])
        return events, events[-1].seq
