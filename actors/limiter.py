"""The rate limits: sliding windows per company, of messages, look-ups and orders.

They are counted in memory or, when several daemons share a Redis, there.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final, NoReturn, Protocol, final

import structlog
import trio

from actors.daemon.metrics import Metrics
from actors.messages import Allowance, Counted, Rate, SetRateLimit, TakeToken
from config.doubling import Doubling
from config.sections import RateLimitSettings
from supervisor import Actor, ReplyTo

_ORDERS: Final[tuple[Counted, ...]] = ("orders", "admin_orders")


def rates_of(limits: RateLimitSettings) -> dict[Counted, Rate]:
    """Return the rates that the settings allow."""
    return {
        "messages": Rate(limits.max_requests, limits.window_ms / 1000),
        "lookups": Rate(limits.max_lookups, limits.lookups_window_ms / 1000),
        **dict.fromkeys(_ORDERS, Rate(limits.max_orders, limits.orders_window_ms / 1000)),
    }


class SlidingWindow:
    """Allows at most ``limit`` tokens within any ``window_s`` seconds."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._taken: deque[float] = deque()

    def take(self, now: float) -> Allowance:
        """Take a token if the limit allows. A refusal does not count."""
        self.forget(now)
        limit = self._rate.limit
        allowed = len(self._taken) < limit
        if allowed:
            self._taken.append(now)
        # After the limit was lowered, more than the oldest must leave the window.
        wait_s = 0.0 if allowed else self._taken[len(self._taken) - limit] + self._rate.window_s - now
        return Allowance(
            allowed=allowed,
            limit=limit,
            remaining=max(0, limit - len(self._taken)),
            reset_after_s=wait_s,
        )

    def note(self, now: float) -> None:
        """Count a token that was taken elsewhere."""
        self.forget(now)
        self._taken.append(now)

    def change(self, rate: Rate) -> None:
        """Apply another limit to the tokens taken so far."""
        self._rate = rate

    def forget(self, now: float) -> bool:
        """Drop what has left the window. Return True when nothing is left."""
        while self._taken and self._taken[0] <= now - self._rate.window_s:
            self._taken.popleft()
        return not self._taken


class SharedWindowsAway(Exception):
    """The shared windows cannot be used now. The text says why, without addresses."""


class SharedWindows(Protocol):
    """Windows that several daemons take from."""

    async def serve(self, on_ready: Callable[[], None], until: trio.Event) -> None:
        """Connect, call ``on_ready``, and let `take` work until ``until`` is set. Raises `SharedWindowsAway`."""
        ...

    async def take(self, window: str, rate: Rate, owed_s: Sequence[float]) -> Allowance:
        """Take a token from the window of that name if its limit allows. ``owed_s``: the ages in seconds of tokens to be counted as well.

        Raises `SharedWindowsAway`.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Name:
    """Names a window: what is counted, and for which company."""

    of: Counted
    company_id: str

    def __str__(self) -> str:
        """Return the name of a shared window. No company's id has a colon."""
        return self.company_id if self.of == "messages" else f"{self.of}:{self.company_id}"


@dataclass(frozen=True, slots=True)
class _Sweep:
    pass


@final
class LimiterActor(Actor):
    """Answers `TakeToken`. A company that took nothing during a window costs no memory.

    With ``shared`` windows it takes from those, and from its own while they are away. They count as away from a call that takes longer than
    ``rate_limit.redis_timeout_ms`` until they answer again; then they get what was taken meanwhile.
    """

    def __init__(
        self,
        *,
        rates: Mapping[Counted, Rate],
        metrics: Metrics,
        settings: RateLimitSettings | None = None,
        shared: SharedWindows | None = None,
    ) -> None:
        self._rates = rates
        self._metrics = metrics
        self._settings = settings or RateLimitSettings()
        self._shared = shared
        self._shared_until: trio.Event | None = None
        """The event to set when a call fails; None while the shared windows are away."""
        self._is_away_known = False
        """Whether their being away has been counted and logged, which happens once until they answer again."""
        self._windows: OrderedDict[_Name, SlidingWindow] = OrderedDict()
        self._owed: dict[_Name, list[float]] = {}
        self._jitter = Random()  # noqa: S311  spreads retries, guards nothing
        self._log = structlog.get_logger("wasup.limiter")

    async def started(self) -> None:
        self._show_rate()
        self._metrics.rate_limit_backend = "memory"
        self.context.every(max(rate.window_s for rate in self._rates.values()), _Sweep())
        if self._shared is not None:
            self.context.spawn(self._keep, self._shared, name="shared")

    async def receive(self, message: Any) -> Any:
        match message:
            case TakeToken(company_id, of):
                name = _Name(of, company_id)
                if self._shared is None or self._shared_until is None:
                    return self._take_here(name)
                taking = (self._shared, self._shared_until, name, self.context.defer())
                self.context.spawn(self._take_there, *taking, name="take")
            case SetRateLimit(rates):
                self._rates = rates
                for name, window in self._windows.items():
                    window.change(self._rates[name.of])
                self._show_rate()
            case _Sweep():
                self._sweep()
            case _:
                raise TypeError(f"the limiter does not understand {type(message).__name__}")
        return None

    def _show_rate(self) -> None:
        messages = self._rates["messages"]
        self._metrics.rate_limit_is(messages.limit, messages.window_s)

    def _take_here(self, name: _Name) -> Allowance:
        now = trio.current_time()
        allowance = self._window(name).take(now)
        if not allowance.allowed:
            self._count_refusal(name)
        elif self._shared is not None:
            self._owed.setdefault(name, []).append(now)
        return allowance

    async def _take_there(
        self, shared: SharedWindows, until: trio.Event, name: _Name, reply: ReplyTo[Allowance]
    ) -> None:
        owed, now = self._owed.pop(name, []), trio.current_time()
        try:
            with trio.fail_after(self._settings.redis_timeout_ms / 1000):
                allowance = await shared.take(str(name), self._rates[name.of], [now - at for at in owed])
        except (SharedWindowsAway, trio.TooSlowError) as error:
            self._owed[name] = owed + self._owed.get(name, [])
            self._lose(until, error)
            reply.reply(self._take_here(name))
            return
        if allowance.allowed:
            self._window(name).note(now)
        else:
            self._count_refusal(name)
        reply.reply(allowance)

    def _count_refusal(self, name: _Name) -> None:
        self._metrics.rate_limited(name.of)

    async def _keep(self, shared: SharedWindows) -> NoReturn:
        """Keep the shared windows in use. While they are away, try again with growing pauses."""
        pauses = Doubling(self._settings.redis_retry_min_s, self._settings.redis_retry_max_s)
        while True:
            until = trio.Event()
            try:
                await shared.serve(partial(self._find, until), until)
                pauses.reset()
            except SharedWindowsAway as error:
                self._lose(until, error)
            await trio.sleep(pauses.next_s() * self._jitter.uniform(0.5, 1.0))

    def _find(self, until: trio.Event) -> None:
        self._shared_until = until
        self._is_away_known = False
        self._metrics.rate_limit_backend = "redis"
        self._log.info("rate_limit_shared", backend="redis")

    def _lose(self, until: trio.Event, error: Exception) -> None:
        """Count in memory from now on. Ignore a late failure of a connection that was replaced."""
        if self._shared_until in {until, None} and not self._is_away_known:
            self._is_away_known = True
            self._shared_until = None
            self._metrics.rate_limit_backend = "memory"
            self._metrics.rate_limit_fell_back()
            self._log.warning("rate_limit_in_memory", backend="memory", reason=str(error) or type(error).__name__)
        until.set()

    def _window(self, name: _Name) -> SlidingWindow:
        window = self._windows.get(name)
        if window is None:
            window = self._windows[name] = SlidingWindow(self._rates[name.of])
            if len(self._windows) > self._settings.max_companies:
                self._windows.popitem(last=False)
        else:
            self._windows.move_to_end(name)
        return window

    def _sweep(self) -> None:
        now = trio.current_time()
        self._windows = OrderedDict((key, window) for key, window in self._windows.items() if not window.forget(now))
        self._owed = {key: owed for key, owed in self._owed.items() if key in self._windows}
