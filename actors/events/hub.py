"""Live events in memory: the newest ones, and the subscriptions that follow them. Synchronous; one event loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import final

import trio

from actors.messages import Event

RECENT = 1_000
"""Events kept in memory, so that a reader that is nearly up to date need not read the log again."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a reader wants; None: all."""

    company_ids: frozenset[str] | None = None
    types: frozenset[str] | None = None

    def wants(self, event: Event) -> bool:
        """Return whether ``event`` passes."""
        return (self.company_ids is None or event.company_id in self.company_ids) and (
            self.types is None or event.type in self.types
        )


@final
class Feed:
    """One subscription's queue of at most ``capacity`` events. When it overflows it is closed, and its reader resumes from the log."""

    def __init__(self, wanted: Filter, capacity: int) -> None:
        self._capacity = capacity
        self.wanted = wanted
        self.after = 0
        """The reader has read the events up to this ``seq`` in the log, or they were offered here."""
        self.closed: str | None = None
        """Why it was closed; None while it is open."""
        self._queue: deque[Event] = deque()
        self._news = trio.Event()

    def offer(self, event: Event) -> None:
        """Queue ``event``, or close the feed when the reader is too far behind. Skip an event that the reader has."""
        if self.closed is not None or event.seq <= self.after:
            return
        if not self.wanted.wants(event):
            self.after = event.seq
            return
        if len(self._queue) >= self._capacity:
            self.close("slow_consumer")
            return
        self._queue.append(event)
        self.after = event.seq
        self._news.set()

    def close(self, why: str) -> None:
        """Take no more events. Queued ones can still be read."""
        self.closed = self.closed or why
        self._news.set()

    @property
    def is_empty(self) -> bool:
        """Whether the reader has taken everything that was offered."""
        return not self._queue

    async def take(self) -> tuple[Event, ...]:
        """Return all queued events; wait for one if there is none. Return an empty tuple once closed and empty."""
        while not self._queue and self.closed is None:
            self._news = trio.Event()
            await self._news.wait()
        taken = tuple(self._queue)
        self._queue.clear()
        return taken


@final
class Hub:
    """Fans stored events out in the order of their ``seq``. At most ``max_feeds`` may be open, not counting those of the daemon itself."""

    def __init__(self, max_feeds: int, feed_capacity: int) -> None:
        self._max_feeds = max_feeds
        self._feed_capacity = feed_capacity
        self.last_seq: int | None = None
        """The ``seq`` of the last event broadcast; None before the first, unless `begin` set it."""
        self._recent: deque[Event] = deque(maxlen=RECENT)
        self._feeds: set[Feed] = set()
        """Open feeds that count against the limit."""
        self._own: set[Feed] = set()
        """Open feeds that do not."""
        self._live: set[Feed] = set()
        """Attached feeds."""

    @property
    def is_full(self) -> bool:
        """Whether no more feeds are taken."""
        return len(self._feeds) >= self._max_feeds

    def begin(self, last_seq: int) -> None:
        """Treat events up to this one as broadcast: they are read from the log. Does nothing once an event was broadcast."""
        if self.last_seq is None:
            self.last_seq = last_seq

    def skip_to(self, seq: int) -> None:
        """Treat events up to this one as broadcast: they were pruned."""
        if self.last_seq is None or seq > self.last_seq:
            self.last_seq = seq
            self._recent.clear()

    def forget(self, company_ids: Collection[str]) -> None:
        """Keep no event of these removed companies in memory. Readers read earlier events in the log."""
        if any(event.company_id in company_ids for event in self._recent):
            self._recent.clear()

    def is_next(self, event: Event) -> bool:
        """Return whether ``event`` directly follows the last one broadcast."""
        return self.last_seq is not None and event.seq == self.last_seq + 1

    def feed(self, wanted: Filter, *, is_own: bool = False) -> Feed:
        """Return a new feed, not attached yet. It counts until it is detached, unless it is the daemon's own."""
        feed = Feed(wanted, self._feed_capacity)
        (self._own if is_own else self._feeds).add(feed)
        return feed

    @property
    def subscriptions(self) -> int:
        """How many feeds are open, not counting the daemon's own."""
        return len(self._feeds)

    def broadcast(self, events: Iterable[Event]) -> None:
        """Offer the events to every attached feed. Events that were broadcast before are skipped."""
        for event in events:
            if self.last_seq is not None and event.seq <= self.last_seq:
                continue
            self.last_seq = event.seq
            self._recent.append(event)
            for feed in tuple(self._live):
                feed.offer(event)
                if feed.closed is not None:
                    self.detach(feed)

    def attach(self, feed: Feed, after: int, *, caught_up: bool) -> bool:
        """Let ``feed`` follow from ``after`` on without a gap. Return False when the log must be read first.

        ``caught_up``: the log was read up to its end, and that end is ``after``.
        """
        if self.last_seq is None and not caught_up:
            return False
        feed.after = max(feed.after, after)
        if self.last_seq is not None and after < self.last_seq:
            if not self._recent or self._recent[0].seq > after + 1:
                return False
            for event in self._recent:
                if event.seq > after:
                    feed.offer(event)
        self._live.add(feed)
        return True

    def detach(self, feed: Feed) -> None:
        """Forget ``feed``."""
        self._feeds.discard(feed)
        self._own.discard(feed)
        self._live.discard(feed)

    def close(self, why: str) -> None:
        """Close every feed."""
        for feed in (*self._feeds, *self._own):
            feed.close(why)
        self._feeds.clear()
        self._own.clear()
        self._live.clear()
