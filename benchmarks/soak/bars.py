"""The series that must not grow, and whether they did.

The first fifth of a run is warm-up: caches fill up to their limit, tables to the size that their retention gives them, the heap to the
size of the busiest moment. The rest is cut into 24 blocks, and a line is fitted to their means (for counts, to the minimum of each: work
under way would hide what stays). Its slope is printed with the interval of Student's t, widened for the autocorrelation of blocks, and so
that all intervals of a run, some forty, hold together with 95 %. A series GROWS when its slope is above the floor and the whole interval
is above zero.

The margin is the smallest slope that the run can tell from noise. With a noise of s from block to block it is about 6.6 s an hour after 30
minutes and 3.3 s after 60 (2.62 s divided by the hours that are judged), and more where blocks are correlated.

A process's memory is what it holds, or held at its busiest moment and cannot give back because live objects lie in between. The blocks
that the daemon's objects hold distinguish a leak from that.

Memory means anonymous memory: how much of program files is in memory, and shared, depends on other processes. A table is judged by its
rows while faults end Postgres, which then forgets how much there is to clean up; in a calm run by the size of its file, too. A file keeps
the size of the most that was ever in it between two clean-ups (autovacuum, every minute); the sizes at rest are those of packed files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.report import print_table
from benchmarks.soak.sampling import BLOCKS, Series
from benchmarks.soak.slopes import Point, Slope, slope

MB_FLOOR: Final = 1.0
COUNT_FLOOR: Final = 1.0
"""Growth an hour. Less cannot be told from what a run happens to be doing at its start and end."""
BLOCKS_FLOOR: Final = 10.0
"""Growth an hour: about 1 MB."""
CALM_ONLY: Final = ("engines: memory, MB", "Postgres: private memory, MB", "device files: MB")
"""Judged only in calm runs: in others their processes are killed and begin afresh."""
FILE: Final = re.compile(r"table \w+, MB")
EXPLAINED: Final[Mapping[str, str]] = {
    "Postgres: shared memory, MB": "shared buffers that were touched; their size is the end of it",
    "table audit_log": "takes no changes and has no end: what administrators do is kept",
    "table whatsapp_auth_archive": "credentials out of use are kept for 90 days, 10 for each company",
    "table whatsapp_leases": "a row for each company there ever was: its epoch must only grow",
    "table whatsapp_journal": "a row for each company there ever was",
    "WhatsApp: stanzas nobody acknowledged": "a fault's, until the next log-in",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One series and its verdict."""

    name: str
    slope: Slope
    floor: float
    verdict: str


def judge(series: Series, *, warm_up_s: float, is_calm: bool) -> list[Line]:
    """Judge every series that has enough points after the warm-up."""
    lines: list[Line] = []
    for name, points in sorted(series.items()):
        is_memory = name.endswith("MB")
        found = slope(_warm(points, warm_up_s), of_least=not is_memory)
        if found is not None:
            floor = MB_FLOOR if is_memory else BLOCKS_FLOOR if name == BLOCKS else COUNT_FLOOR
            lines.append(Line(name, found, floor, _verdict(name, found, floor, is_calm)))
    return lines


def print_lines(lines: Sequence[Line]) -> int:
    """Print the table. Return 1 when something grows."""
    header = ["", "first", "last", "an hour", "+-", "floor", "verdict"]
    print_table(header, [_row(line) for line in lines])
    print(
        "\nzero: the interval of the slope holds 0 (all of them together: with 95 %), or the slope is below the floor."
        " Not judged, because it is known:"
    )
    for name, why in EXPLAINED.items():
        print(f"  {name}: {why}")
    return int(any(line.verdict == "GROWS" for line in lines))


def _verdict(name: str, found: Slope, floor: float, is_calm: bool) -> str:
    if name in EXPLAINED or name.partition(",")[0] in EXPLAINED:
        return "explained"
    if not is_calm and (name in CALM_ONLY or FILE.fullmatch(name)):
        return "see --calm"
    return "GROWS" if found.is_surely_above(floor) else "zero"


def _row(line: Line) -> list[str]:
    numbers = (line.slope.first, line.slope.last, line.slope.per_hour, line.slope.margin)
    return [line.name, *(f"{number:.2f}" for number in numbers), f"{line.floor:g}", line.verdict]


def _warm(points: Sequence[Point], warm_up_s: float) -> list[Point]:
    return [point for point in points if point[0] >= warm_up_s]
