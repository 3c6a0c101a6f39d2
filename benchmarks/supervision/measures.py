"""The measures: what is measured, the yardstick, and the promise."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from benchmarks.supervision import ours, raw

RAW_ASK_US = 12.76
"""Microseconds of a raw ask on the machine that the absolute promises were made for (78,400 a second). It scales them."""
TRACED_MAY_COST = 0.75
"""With tracing on, every ratio may fall to this share of the promise."""
FEW, MANY = "restart until it answers, 10 siblings", "restart until it answers, 10,000 siblings"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """``yardstick`` and ``ours`` return CPU seconds for ``yardstick_count`` and ``count`` pieces of work.

    The ratio says how many times faster one piece of ours is. A promise in time (``at_most_us`` for one piece) is scaled by a raw ask. The
    table shows the time of ``shown`` pieces, in milliseconds when there are many.
    """

    name: str
    yardstick: Callable[[], float]
    ours: Callable[[], float]
    count: int
    yardstick_count: int
    at_least: float
    at_most_us: float | None = None
    shown: int = 1


def run(function: Callable[..., Awaitable[float]], *args: Any, **options: Any) -> float:
    """Run a measurement after a garbage collection."""
    gc.collect()
    return trio.run(partial(_call, function, args, options))


async def _call(function: Callable[..., Awaitable[float]], args: tuple[Any, ...], options: dict[str, Any]) -> float:
    return await function(*args, **options)


def versus(name: str, least: float, count: int, raw_fn: Any, ours_fn: Any, *args: Any, **options: Any) -> Measure:
    """Return a measure against the same work on a raw channel."""
    counts = args or (count,)
    return Measure(
        name=name,
        yardstick=partial(run, raw_fn, *counts),
        ours=partial(run, ours_fn, *counts, **options),
        count=count,
        yardstick_count=count,
        at_least=least,
    )


def within(name: str, most_us: float, function: Callable[[], float], *, count: int = 1, shown: int = 1) -> Measure:
    """Return a measure with an absolute limit for each piece of work."""
    return Measure(
        name=name,
        yardstick=partial(run, raw.ask, 3_000),
        ours=function,
        count=count,
        yardstick_count=3_000,
        at_least=RAW_ASK_US / most_us,
        at_most_us=most_us,
        shown=shown,
    )


def measures(scale: float) -> list[Measure]:
    """Return the table of promises. ``scale`` multiplies the amounts of work."""
    return [*_ratios(scale), *_times(scale), *_traced(scale)]


def _ratios(scale: float) -> list[Measure]:
    n, each, asks, spawns = (int(count * scale) for count in (30_000, 100, 5_000, 4_000))
    return [
        versus("tell", 6.0, n, raw.tell, ours.tell),
        versus("tell, waiting for room (1024)", 6.0, n, raw.send, ours.send),
        versus("1,000 actors x 100 messages", 1.4, 1_000 * each, raw.fan, ours.fan, 1_000, each),
        versus("ask", 1.5, asks, raw.ask, ours.ask),
        versus("ask with a timeout", 1.4, asks, raw.ask, ours.ask, timeout=5.0),
        versus("spawn with ack", 2.0, spawns, raw.spawn, ours.spawn),
    ]


def _times(scale: float) -> list[Measure]:
    restarts, stops = int(1_000 * scale), int(10_000 * scale)
    return [
        within(FEW, 40, partial(run, ours.restart, 10, restarts)),
        within(MANY, 40, partial(run, ours.restart, 10_000, restarts)),
        within("1,000 crashes until all answer", 50, partial(run, ours.storm, 1_000), count=1_000, shown=1_000),
        within("stop 10,000 together", 15, partial(run, ours.stop_together, stops), count=stops, shown=10_000),
        within(
            "stop 10,000 in reverse order", 30, partial(run, ours.stop_in_reverse, stops), count=stops, shown=10_000
        ),
    ]


def _traced(scale: float) -> list[Measure]:
    """Return those measures in which actors handle messages, with a tracer on every actor."""
    n, each, asks, restarts = (int(count * scale) for count in (30_000, 100, 5_000, 1_000))
    part = TRACED_MAY_COST
    restart = partial(run, ours.restart, 10, restarts, traced=True)
    storm = partial(run, ours.storm, 1_000, traced=True)
    return [
        versus("tell, traced", 6.0 * part, n, raw.tell, ours.tell, traced=True),
        versus("tell, waiting for room, traced", 6.0 * part, n, raw.send, ours.send, traced=True),
        versus("1,000 actors, traced", 1.4 * part, 1_000 * each, raw.fan, ours.fan, 1_000, each, traced=True),
        versus("ask, traced", 1.5 * part, asks, raw.ask, ours.ask, traced=True),
        within("restart, 10 siblings, traced", 40 / part, restart),
        within("1,000 crashes, traced", 50 / part, storm, count=1_000, shown=1_000),
    ]
