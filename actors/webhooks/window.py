"""What a webhook has in hand: events in the order of the log, one at a time for each company. Pure bookkeeping."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import final

from actors.webhook_delivery.delivery import REPLAYS, Delivery


@final
class Window:
    """At most ``capacity`` deliveries. Events are added in the order of the log; the cursor follows the oldest that is not settled."""

    def __init__(self, capacity: int, cursor: int) -> None:
        self._capacity = capacity
        self._cursor = cursor
        self._lanes: dict[str, deque[Delivery]] = {}
        self._events: dict[int, Delivery] = {}
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more is to be added."""
        return self._size >= self._capacity

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in hand."""
        return self._size == 0

    def add(self, delivery: Delivery) -> None:
        """Take one more."""
        self._lanes.setdefault(delivery.lane, deque()).append(delivery)
        self._size += 1
        if not delivery.is_replay:
            self._events[delivery.seq] = delivery

    def heads(self) -> Iterator[Delivery]:
        """The first of each lane that is not under way; the lanes that waited longest come first."""
        return (lane[0] for lane in tuple(self._lanes.values()) if not lane[0].is_under_way)

    def settle(self, delivery: Delivery) -> None:
        """It is delivered, or safe among the dead letters: the next of its lane may go."""
        lane = self._lanes.pop(delivery.lane)
        lane.popleft()
        self._size -= 1
        if lane:
            self._lanes[delivery.lane] = lane  # at the end: every lane gets its turn
        if not delivery.is_replay:
            del self._events[delivery.seq]

    def cursor(self, read_to: int) -> int:
        """Every event up to here is settled or not wanted; ``read_to``: up to where everything wanted was added."""
        oldest = self.oldest
        self._cursor = max(self._cursor, read_to if oldest is None else oldest.seq - 1)
        return self._cursor

    @property
    def oldest(self) -> Delivery | None:
        """The event that holds the cursor."""
        return next(iter(self._events.values()), None)

    def replays(self) -> frozenset[int]:
        """The events in hand that are sent again."""
        return frozenset(delivery.seq for delivery in self._lanes.get(REPLAYS, ()))
