"""A reader's way through the events: the log first, then live, without a gap."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import final

from actors.events.hub import Filter, Hub
from actors.messages import Event

PAGE = 500

ReadLog = Callable[[int, int, Filter], Awaitable[tuple[tuple[Event, ...], int]]]
"""``(after, limit, wanted)`` -> events and the ``after`` of the next page. A page that is not full reaches the log's end."""


class SubscriptionClosed(Exception):
    """The daemon closed the subscription. ``reason`` is a stable word, ``last_seq`` the ``after`` to resume from."""

    def __init__(self, reason: str, last_seq: int) -> None:
        super().__init__(f"subscription closed: {reason}")
        self.reason = reason
        self.last_seq = last_seq


@final
class Subscription:
    """An async iterable of events with growing ``seq``. It ends by raising SubscriptionClosed (`slow_consumer`, `restarting`)."""

    def __init__(self, hub: Hub, wanted: Filter, read_log: ReadLog, after: int, *, is_own: bool = False) -> None:
        self._hub = hub
        self._feed = hub.feed(wanted, is_own=is_own)
        self._read_log = read_log
        self._after = after
        self._last_seq = after
        self._ready: deque[Event] = deque()
        self._is_live = self._caught_up = False

    @property
    def last_seq(self) -> int:
        """The ``seq`` of the event read last; before the first, the one after which reading begins."""
        return self._last_seq

    @property
    def position(self) -> int:
        """The ``seq`` up to which all wanted events were handed out."""
        if self._ready or not self._feed.is_empty:
            return self._last_seq
        return max(self._last_seq, self._feed.after if self._is_live else self._after)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while not self._ready:
            await self._fill()
        event = self._ready.popleft()
        self._last_seq = event.seq
        return event

    async def batch(self) -> tuple[Event, ...]:
        """Return the next event and all further ones that need no wait. Ends as iteration does."""
        while not self._ready:
            await self._fill()
        events = tuple(self._ready)
        self._ready.clear()
        self._last_seq = events[-1].seq
        return events

    async def _fill(self) -> None:
        if not self._is_live and self._feed.closed is None:
            self._is_live = self._hub.attach(self._feed, self._after, caught_up=self._caught_up)
        if self._is_live or self._feed.closed is not None:
            self._ready.extend(await self._feed.take())
            if not self._ready:
                raise SubscriptionClosed(self._feed.closed or "closed", self._last_seq)
            return
        events, self._after = await self._read_log(self._after, PAGE, self._feed.wanted)
        self._caught_up = len(events) < PAGE
        self._ready.extend(events)

    async def aclose(self) -> None:
        """`close`, for `contextlib.aclosing`."""
        self.close()

    def close(self) -> None:
        """Stop following; harmless when repeated."""
        self._hub.detach(self._feed)
        self._feed.close("closed")
