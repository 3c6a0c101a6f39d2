"""Keeps the library's unlocked maps safe.

The library finds its clients in Go maps without a lock: making or stopping a client writes them, every other call begins by reading
them, and Go ends the process when a read and a write coincide. So clients are made and stopped one at a time in the process; meanwhile no
call begins, and no client is made or stopped within `SETTLE_S` of a call's beginning. Calls that have begun are not affected.

Not covered is one look-up of the library's own: after a client's first dial it looks up the channel of the client's events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Lock
from typing import Final, final

SETTLE_S: Final = 0.01
"""By then a call has read the map: the look-up is its first instruction."""


@final
class ClientMapLock:
    """One for the process. Use it on worker threads only, since it blocks."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._lock = Lock()
        self._last_call = float("-inf")
        self._clock = clock
        self._sleep = sleep

    @contextmanager
    def making(self) -> Generator[None]:
        """Hold while a client is made or stopped; the body must be short."""
        with self._lock:
            wait = self._last_call + SETTLE_S - self._clock()
            if wait > 0:
                self._sleep(wait)
            yield

    def begin_call(self) -> None:
        """Wait until a call may begin; call this just before the call."""
        with self._lock:
            self._last_call = self._clock()
