"""The events that a webhook has in hand: in the order of the log, one at a time for each company. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import final

from actors.webhook_delivery.delivery import REPLAYS, Delivery


@final
class Window:
    """At most ``capacity`` deliveries. Events are added in the order of the log. The cursor stays before the oldest that is not settled."""

    def __init__(self, capacity: int, cursor: int) -> None:
        self._capacity = capacity
        self._cursor = cursor
        self._by_key: dict[str, deque[Delivery]] = {}
        self._events: dict[int, Delivery] = {}
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether no more may be added."""
        return self._size >= self._capacity

    @property
    def is_empty(self) -> bool:
        """Whether no delivery is in hand."""
        return self._size == 0

    def add(self, delivery: Delivery) -> None:
        """Add a delivery."""
        self._by_key.setdefault(delivery.ordering_key, deque()).append(delivery)
        self._size += 1
        if not delivery.is_replay:
            self._events[delivery.seq] = delivery

    def heads(self) -> Iterator[Delivery]:
        """Yield the first delivery of each ordering key, unless it is under way. Keys that waited longest come first."""
        return (queue[0] for queue in tuple(self._by_key.values()) if not queue[0].is_under_way)

    def settle(self, delivery: Delivery) -> None:
        """Remove a delivery that was made, or is stored as a dead letter: the next of its ordering key may begin."""
        queue = self._by_key.pop(delivery.ordering_key)
        queue.popleft()
        self._size -= 1
        if queue:
            self._by_key[delivery.ordering_key] = queue  # to the end, so that every ordering key gets its turn
        if not delivery.is_replay:
            del self._events[delivery.seq]

    def cursor(self, read_to: int) -> int:
        """Return the ``seq`` up to which every event is settled or not wanted. ``read_to``: up to where all wanted events were added."""
        oldest = self.oldest
        self._cursor = max(self._cursor, read_to if oldest is None else oldest.seq - 1)
        return self._cursor

    @property
    def oldest(self) -> Delivery | None:
        """The oldest delivery that is not settled, which holds the cursor back."""
        return next(iter(self._events.values()), None)

    def replays(self) -> frozenset[int]:
        """Return the ``seq`` of each replay in hand."""
        return frozenset(delivery.seq for delivery in self._by_key.get(REPLAYS, ()))
