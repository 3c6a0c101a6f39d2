"""How long a company may stay with WhatsApp without a word from its daemon.

A daemon that is stopped or hangs cannot drop its sockets before another one may take its companies over; this process, which holds
them, can.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import final

import trio


@final
class LeaseDeadline:
    """Counts by the machine's monotonic clock, which the daemon shares."""

    def __init__(self, until: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._until = float("inf") if until is None else until
        self._clock = clock
        self._extended = trio.Event()

    def extend(self, until: float) -> None:
        """The company is ours until then; never shortens."""
        self._until = max(self._until, until)
        self._extended.set()

    async def wait_expired(self) -> None:
        """Return when the time is over."""
        while (left_s := self._until - self._clock()) > 0:
            self._extended = trio.Event()
            with trio.move_on_after(left_s):
                await self._extended.wait()
