"""A bounded queue from the library's threads into trio that loses nothing: when it is full, the library's thread waits."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import Generic, TypeVar, final

import trio

T = TypeVar("T")


@final
class ThreadQueue(Generic[T]):
    """Make it inside trio. `put` is for other threads, everything else for trio's."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._room = Condition()
        self._token = trio.lowlevel.current_trio_token()
        self._filled = trio.Event()
        self._closed = False

    def put(self, item: T) -> bool:
        """Put an item, waiting for room as long as needed; return False when the queue was closed instead."""
        with self._room:
            self._room.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                return False
            self._items.append(item)
        try:
            self._token.run_sync_soon(self._wake, idempotent=True)
        except trio.RunFinishedError:
            return False
        return True

    async def get(self) -> T:
        """Return the next item, in the order of `put`."""
        while True:
            item = self.get_nowait()
            if item is not None:
                return item
            self._filled = trio.Event()
            if not self._items:
                await self._filled.wait()

    def get_nowait(self) -> T | None:
        """Return the next item; None when there is none."""
        with self._room:
            if not self._items:
                return None
            item = self._items.popleft()
            self._room.notify()
            return item

    @property
    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Release waiting threads; queued items can still be taken."""
        with self._room:
            self._closed = True
            self._room.notify_all()

    def _wake(self) -> None:
        self._filled.set()
