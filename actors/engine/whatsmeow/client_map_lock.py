"""Keeps the library's unlocked maps safe.

The library finds its clients in Go maps without a lock: making or stopping a client writes them, every other call reads them first of
all, and Go ends the process when a read and a write meet. So makers take turns, one at a time in the process; no call begins while one
works, and none works within `SETTLE_S` of a call's beginning. Calls that have begun run on beside everything.

Left open is one look-up of the library's own: when a client's first dial is over, it looks up the channel of its events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Lock
from typing import Final, final

SETTLE_S: Final = 0.01
"""A call has long passed the map by then: its look-up is its first instruction."""


def is_noted(logger: str) -> bool:
    """Whether a line of this logger shows that the library has its client in the maps: the client's loggers are made just before, and its
    first line says that it dials (tests/engine/whatsmeow/test_client_map_lock.py)."""
    return logger.startswith("Client")


@final
class ClientMapLock:
    """One for the process; for worker threads only, since it blocks."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._lock = Lock()
        self._last_call = float("-inf")
        self._clock = clock
        self._sleep = sleep

    @contextmanager
    def making(self) -> Generator[None]:
        """Hold while a client is made or stopped; what is done inside must be short."""
        with self._lock:
            wait = self._last_call + SETTLE_S - self._clock()
            if wait > 0:
                self._sleep(wait)
            yield

    def begin_call(self) -> None:
        """Pass just before a call."""
        with self._lock:
            self._last_call = self._clock()
