"""What one run measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from benchmarks.footprint import Footprint

MIB: Final = 1024**2


@dataclass(frozen=True, slots=True)
class Latencies:
    """Latencies of acknowledged sends, in seconds from the request to its response."""

    sorted_s: tuple[float, ...]
    failed: int
    """Sends that were not acknowledged."""

    def quantile(self, share: float) -> float:
        """Return the latency that ``share`` of the sends did not exceed; 0 when there were none."""
        if not self.sorted_s:
            return 0.0
        return self.sorted_s[min(len(self.sorted_s) - 1, round(share * (len(self.sorted_s) - 1)))]

    def __str__(self) -> str:
        p50, p99 = (f"{1000 * self.quantile(share):.0f}" for share in (0.5, 0.99))
        return f"p50 {p50}, p99 {p99} ms; {len(self.sorted_s)} sent, {self.failed} failed"


@dataclass(slots=True)
class Figures:
    """The figures for one number of companies; times in seconds."""

    companies: int = 0
    idle: dict[int, Footprint] = field(default_factory=dict[int, Footprint])
    """By the number of connected companies."""
    restarted: Footprint | None = None
    """With all companies, after the restart."""
    busy: Footprint | None = None
    """After the messages and the faults."""
    idle_cpu: dict[str, float] = field(default_factory=dict[str, float])
    """The share of one core, by part."""
    link_s: float = 0.0
    stop_s: float = 0.0
    listening_s: float = 0.0
    """From the start of the process until it serves HTTP."""
    connected_s: float = 0.0
    """From the start of the process until every company is connected."""
    first_messages: Latencies | None = None
    """Each company's first message to a number, which fetches keys and makes a Signal session."""
    messages: Latencies | None = None
    """Later messages, at `MESSAGES_PER_S` over all companies."""
    killed_companies: int = 0
    engine_back_s: float = 0.0
    """From the kill of an engine process until its companies are connected again."""
    others_dropped: int = 0
    """Log-ins of other engine processes' companies meanwhile."""
    postgres_back_s: float = 0.0
    """From the kill of every Postgres process until a send is acknowledged."""
    postgres_logins: int = 0
    """Log-ins after that kill: the connections to WhatsApp that it cost."""
    drop_back_s: float = 0.0
    """From the moment WhatsApp drops all connections until every company is connected again."""
    drop_most_logins_per_s: float = 0.0

    def company_mb(self, part: str | None = None) -> float:
        """Return the memory in MB of one more company, by the last two steps; of one part or of all."""
        (few, before), (many, after) = list(self.idle.items())[-2:]
        grown = after.pss_bytes[part] - before.pss_bytes[part] if part else after.total_bytes - before.total_bytes
        return grown / MIB / (many - few)
