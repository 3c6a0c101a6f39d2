"""Makes many sends through the API, and measures how long they take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from benchmarks.caller import Caller
from tests.support.daemon import Daemon


@dataclass(slots=True)
class Run:
    """The sends of one or more rounds; times in seconds."""

    seconds: float = 0.0
    took: list[float] = field(default_factory=list[float])
    cpu_s: dict[str, float] = field(default_factory=dict[str, float])
    """Processor time by the process that used it (benchmarks/api/usage.py)."""

    @property
    def rate(self) -> float:
        """Sends a second."""
        return len(self.took) / self.seconds

    def quantile_ms(self, share: float) -> float:
        """Return this quantile of the time of a send, in milliseconds."""
        return 1000 * sorted(self.took)[min(len(self.took) - 1, round(share * len(self.took)))]

    def add(self, other: Run) -> None:
        """Add a round."""
        self.seconds += other.seconds
        self.took += other.took
        for part, seconds in other.cpu_s.items():
            self.cpu_s[part] = self.cpu_s.get(part, 0.0) + seconds


async def send_many(daemon: Daemon, companies: Sequence[str], to: Sequence[str], texts: int, callers: int) -> Run:
    """Have each company send ``texts`` texts to its phone in ``to``, over ``callers`` connections at once."""
    run = Run()

    async def send_some(company: str, phone: str) -> None:
        caller = Caller(daemon)
        for number in range(texts // callers):
            began = time.perf_counter()
            await caller.send(company, phone, f"benchmark {number}")
            run.took.append(time.perf_counter() - began)
        caller.close()

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for company, phone in zip(companies, to, strict=True):
            for _ in range(callers):
                nursery.start_soon(send_some, company, phone)
    run.seconds = time.perf_counter() - began
    return run
