"""The rate limit, counted in memory: a sliding window per company."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, final

import trio

from actors.messages import Allowance, SetRateLimit, TakeToken
from actors.metrics import Metrics
from supervisor import Actor


class SlidingWindow:
    """At most ``limit`` takings within any ``window_s`` seconds."""

    def __init__(self, limit: int, window_s: float) -> None:
        self._limit = limit
        self._window_s = window_s
        self._taken: deque[float] = deque()

    def take(self, now: float) -> Allowance:
        """Take one if there is one; a refused taking does not count."""
        self.forget(now)
        allowed = len(self._taken) < self._limit
        if allowed:
            self._taken.append(now)
        # After the limit was lowered more than the oldest must leave the window.
        wait_s = 0.0 if allowed else self._taken[len(self._taken) - self._limit] + self._window_s - now
        return Allowance(
            allowed=allowed,
            limit=self._limit,
            remaining=max(0, self._limit - len(self._taken)),
            reset_after_s=wait_s,
        )

    def change(self, limit: int, window_s: float) -> None:
        """Another limit for the same takings."""
        self._limit = limit
        self._window_s = window_s

    def forget(self, now: float) -> bool:
        """Drop what left the window; True when nothing is left."""
        while self._taken and self._taken[0] <= now - self._window_s:
            self._taken.popleft()
        return not self._taken


@dataclass(frozen=True, slots=True)
class _Sweep:
    pass


@final
class LimiterActor(Actor):
    """Answers `TakeToken`. Companies that sent nothing for a window cost no memory."""

    def __init__(self, *, limit: int, window_s: float, metrics: Metrics) -> None:
        self._limit = limit
        self._metrics = metrics
        self._window_s = window_s
        self._windows: dict[str, SlidingWindow] = {}

    async def started(self) -> None:
        self._metrics.rate_limit_is(self._limit, self._window_s)
        self.context.every(self._window_s, _Sweep())

    async def receive(self, message: Any) -> Any:
        match message:
            case TakeToken(company_id):
                window = self._windows.setdefault(company_id, SlidingWindow(self._limit, self._window_s))
                allowance = window.take(trio.current_time())
                if not allowance.allowed:
                    self._metrics.rate_limited()
                return allowance
            case SetRateLimit(limit, window_s):
                self._limit, self._window_s = limit, window_s
                for window in self._windows.values():
                    window.change(limit, window_s)
                self._metrics.rate_limit_is(limit, window_s)
            case _Sweep():
                now = trio.current_time()
                self._windows = {key: window for key, window in self._windows.items() if not window.forget(now)}
            case _:
                raise TypeError(f"the limiter does not understand {type(message).__name__}")
        return None
