"""What is measured, against what, and what is promised."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from benchmarks.supervision import ours, raw

RAW_ASK_US = 12.76
"""Microseconds of a raw ask on the machine the absolute promises were made for (78,400 a second). They are scaled by it."""
TRACED_MAY_COST = 0.75
"""With tracing on every ratio may fall to this part of what is promised."""


@dataclass(frozen=True)
class Measure:
    """``yardstick`` and ``ours`` return CPU seconds for ``count`` pieces of work.

    The ratio is how many times ``ours`` is faster. A promise in microseconds (``at_most_us``) is held against a raw ask, scaled.
    """

    name: str
    yardstick: Callable[[], float]
    ours: Callable[[], float]
    count: int
    yardstick_count: int
    at_least: float
    at_most_us: float | None = None


def run(function: Callable[..., Awaitable[float]], *args: Any, **options: Any) -> float:
    """Run a measurement on a swept heap."""
    gc.collect()
    return trio.run(partial(_call, function, args, options))


async def _call(function: Callable[..., Awaitable[float]], args: tuple[Any, ...], options: dict[str, Any]) -> float:
    return await function(*args, **options)


def versus(name: str, least: float, count: int, raw_fn: Any, ours_fn: Any, *args: Any, **options: Any) -> Measure:
    """A measure against the same work on a raw channel."""
    counts = args or (count,)
    return Measure(name, partial(run, raw_fn, *counts), partial(run, ours_fn, *counts, **options), count, count, least)


def within(name: str, most_us: float, count: int, function: Callable[[], float]) -> Measure:
    """A measure with an absolute limit per piece of work."""
    return Measure(name, partial(run, raw.ask, 3_000), function, count, 3_000, RAW_ASK_US / most_us, most_us)


def measures(scale: float) -> list[Measure]:
    """The table of promises; ``scale`` multiplies the amounts of work."""
    n = int(30_000 * scale)
    asks, spawns, stops = int(5_000 * scale), int(4_000 * scale), int(10_000 * scale)
    restarts, storm = int(1_000 * scale), 1_000
    plain = [
        versus("tell", 6.0, n, raw.tell, ours.tell),
        versus("tell, waiting for room (1024)", 6.0, n, raw.send, ours.send),
        versus("1,000 actors x messages", 1.4, 1_000 * (n // 1_000), raw.fan, ours.fan, 1_000, n // 1_000),
        versus("ask", 1.5, asks, raw.ask, ours.ask),
        versus("ask with a timeout", 1.4, asks, raw.ask, ours.ask, timeout=5.0),
        versus("spawn with ack", 2.0, spawns, raw.spawn, ours.spawn),
    ]
    traced = [
        versus(f"{name}, traced", least * TRACED_MAY_COST, count, raw_fn, ours_fn, *args, traced=True)
        for name, least, count, raw_fn, ours_fn, *args in (
            ("tell", 6.0, n, raw.tell, ours.tell),
            ("tell, waiting for room (1024)", 6.0, n, raw.send, ours.send),
            ("1,000 actors x messages", 1.4, 1_000 * (n // 1_000), raw.fan, ours.fan, 1_000, n // 1_000),
            ("ask", 1.5, asks, raw.ask, ours.ask),
        )
    ]
    absolute = [
        within("restart until it answers, 10 siblings", 40, 1, partial(run, ours.restart, 10, restarts)),
        within("restart until it answers, 10,000 siblings", 40, 1, partial(run, ours.restart, 10_000, restarts)),
        within("1,000 crashes until all answer, each", 50, storm, partial(run, ours.storm, storm)),
        within("stop together, each", 15, stops, partial(run, ours.stop_together, stops)),
        within("stop in reverse order, each", 30, stops, partial(run, ours.stop_in_reverse, stops)),
    ]
    return plain + traced + absolute
