"""The limits for the figures, and whether they are reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from benchmarks.storage import committing as c
from benchmarks.storage import loading as l
from benchmarks.storage.committing import Committing, baseline, name_of
from benchmarks.storage.loading import Loading

GROUPED: Final[Mapping[int, float]] = MappingProxyType({64: 12.0, 256: 20.0})
"""The factor over the rate of one transaction a key, by the number of writers."""
STATEMENT: Final = 0.7
"""The factor over the rate of the fastest statement, for the largest of those numbers of writers."""
LOADS: Final = (335, 1313)
"""The numbers of keys for which `LOAD` applies to loads."""
LOAD: Final = 10.0
BATCH: Final = 15.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A ratio that must be at least ``least``."""

    title: str
    found: float
    least: float

    @property
    def is_met(self) -> bool:
        """Whether the bar is reached."""
        return self.found >= self.least


def bars(committing: Committing, loading: Loading) -> list[Bar]:
    """Return every bar that applies to this run. Bars for sizes that it did not measure are left out."""
    found = _grouped(committing)
    for keys, times in loading.loads.items():
        if keys in LOADS:
            ours = l.OURS.format(way="plain")
            others = (l.NODE, l.PYTHON_ROWS, l.PYTHON_FILES)
            found += [
                Bar(f"load of {keys} keys, beside {other}", times.times(other, ours), LOAD)
                for other in others
                if other in times.values
            ]
    ours = l.COMMIT.format(way="plain")
    return [*found, Bar(f"commit of 100 keys, beside {l.SAFELY}", loading.writes.times(l.SAFELY, ours), BATCH)]


def _grouped(committing: Committing) -> list[Bar]:
    found: list[Bar] = []
    rates = committing.rates
    for writers, least in GROUPED.items():
        for keys in (1, c.SENT):
            ours = name_of("plain", writers, keys)
            if ours in rates.values:
                beside = baseline(c.ALONE, writers)
                found.append(Bar(f"{ours}, beside {beside}", rates.times(ours, beside), least))
    for keys in (1, c.SENT):
        ours, fastest = name_of("plain", max(GROUPED), keys), committing.fastest()
        if ours in rates.values:
            found.append(Bar(f"{ours}, beside the fastest statement", rates.times(ours, fastest), STATEMENT))
    return found


def judge(found: Sequence[Bar]) -> int:
    """Print the bars. Return 1 when one is missed."""
    print()
    for bar in found:
        print(f"{bar.title}: {bar.found:.2f} x, bar {bar.least:g} x: {'met' if bar.is_met else 'MISSED'}")
    return int(not all(bar.is_met for bar in found))
