"""How long a company may stay with WhatsApp without a word from its daemon.

A daemon that is stopped or hangs cannot close its sockets before another daemon may take its companies over. This process holds the
sockets, and can.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import final

import trio

from actors.engine.logs import EngineLog


@final
class LeaseDeadline:
    """A deadline on the machine's monotonic clock, which the daemon shares."""

    def __init__(self, until: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._until = float("inf") if until is None else until
        self._clock = clock
        self._extended = trio.Event()

    def extend(self, until: float) -> None:
        """Move the deadline to ``until``; an earlier time changes nothing."""
        self._until = max(self._until, until)
        self._extended.set()

    async def wait_expired(self) -> None:
        """Return when the deadline has passed."""
        while (left_s := self._until - self._clock()) > 0:
            self._extended = trio.Event()
            with trio.move_on_after(left_s):
                await self._extended.wait()

    async def cancel_when_expired(self, scope: trio.CancelScope, log: EngineLog, consequence: str) -> None:
        """Cancel ``scope`` when the deadline has passed; the log says ``consequence``. A task beside what the lease allows."""
        await self.wait_expired()
        log.caution(f"the daemon has not renewed this company's lease in time: {consequence}")
        scope.cancel()
