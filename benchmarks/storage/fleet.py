"""Measures how long each of very many companies that write at once waits for its commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.storage.committing import SENT
from benchmarks.storage.rounds import quantile
from benchmarks.storage.site import Site
from benchmarks.storage.writers import Written, open_writers

INTERVAL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """The figures of all companies, for one way of storing values."""

    companies: int
    way: str
    paced: Written
    """Each company sends a message a second."""
    flat_out: Written
    """Each company sends its next message as soon as the last one is stored."""


async def measure(site: Site, companies: int, seconds: float) -> list[Fleet]:
    """Measure plain and sealed, each in a database of its own."""
    return [await _measure(site, companies, way, seconds) for way in site.vaults]


async def _measure(site: Site, companies: int, way: str, seconds: float) -> Fleet:
    async with site.store(way) as store, open_writers(store.database, companies) as writers:
        paced = await writers.write_paced(seconds, INTERVAL_S, keys=SENT)
        flat_out = await writers.write(companies, seconds, keys=SENT)
    return Fleet(companies, way, paced, flat_out)


def quantiles_ms(written: Written) -> tuple[float, float]:
    """Return the median and the 99th percentile of the milliseconds until a commit is answered."""
    return 1000 * quantile(written.took_s, 0.5), 1000 * quantile(written.took_s, 0.99)
