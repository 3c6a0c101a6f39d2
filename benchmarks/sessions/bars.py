"""The limits for the figures, and whether they are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.sessions.figures import MIB, Figures

REPLACED_MB: Final = 158
"""The memory of one session of the system that wasup replaces. Stated by its operators, not measured here."""
COMPANY_FROM: Final = 20
"""The memory of one more company is judged from this many companies on: the slope over fewer is noise."""
THOUSAND: Final = 1000


@dataclass(frozen=True, slots=True)
class Bar:
    """A limit of ``most``, for runs of at least ``companies``."""

    title: str
    unit: str
    most: float
    companies: int
    of: Callable[[Figures], float]


BARS: Final = (
    Bar("memory of one more linked and connected company", "MB", 2.0, COMPANY_FROM, Figures.company_mb),
    Bar("memory in all, after the restart", "MB", 2500.0, THOUSAND, lambda run: _memory(run)),
    Bar("start to all connected", "s", 180.0, THOUSAND, lambda run: run.connected_s),
    Bar("idle", "% of a core", 40.0, THOUSAND, lambda run: 100 * sum(run.idle_cpu.values())),
    Bar("send, 99 of 100 within", "ms", 500.0, THOUSAND, lambda run: _p99_ms(run)),
    Bar("companies of a killed engine process back", "s", 15.0, THOUSAND, lambda run: run.engine_back_s),
    Bar("everyone back after a mass drop", "s", 240.0, THOUSAND, lambda run: run.drop_back_s),
)


def judge(runs: Sequence[Figures]) -> int:
    """Print each bar that applies to these runs. Return 1 when one was missed."""
    print(
        f"\nthe system it replaces, as stated by its operators: {REPLACED_MB} MB for one session (quoted, not measured)"
    )
    missed = False
    for run in runs:
        for bar in BARS:
            if run.companies >= bar.companies:
                found = bar.of(run)
                missed |= found > bar.most
                verdict = "MISSED" if found > bar.most else "met"
                print(f"{run.companies} companies: {bar.title}: {found:.4g} {bar.unit}, bar {bar.most:g}: {verdict}")
    return int(missed)


def _memory(run: Figures) -> float:
    return 0.0 if run.restarted is None else run.restarted.total_bytes / MIB


def _p99_ms(run: Figures) -> float:
    return 0.0 if run.messages is None else 1000 * run.messages.quantile(0.99)
