"""``python -m benchmarks supervision``: the core against a raw trio memory channel, Pykka and triotp, in one run.

Rounds over all measures are interleaved, and figures are medians of CPU times (Pykka's are wall times: it runs threads). A ratio says how
many times faster one piece of work is than the same on the yardstick. A promise in time was made for one machine, so it is judged as a
ratio to a raw ask there; the table also shows the time. The exit status is 1 when a ratio is missed by more than the measured noise: half
the distance between the quartiles of the rounds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import print_load, print_origin
from benchmarks.supervision.competitors import Competitors, competitors
from benchmarks.supervision.measures import FEW, MANY, measures
from benchmarks.supervision.table import Row, flat, memory, row, show

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark. Return 1 when a promise is missed by more than the noise."""
    options = _options(arguments)
    print_origin("supervision", arguments)
    others = competitors(install=options.peers)
    rows = _measure(options.rounds, options.scale, others) + _memory(int(10_000 * options.scale))
    print_load("after")
    show(rows, others)
    missed = [each.name for each in rows if not each.holds]
    print(f"missed: {', '.join(missed)}" if missed else "every promise is kept")
    return 1 if missed else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks supervision", description="The speed of the core.")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds, of which medians are taken (5)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the amounts of work (1.0)")
    parser.add_argument("--peers", action="store_true", help="make .venv-peers with triotp, if it is not there")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or not 0.1 <= options.scale <= 100:
        parser.error("--rounds must be at least 1 and --scale from 0.1 to 100")
    return options


def _measure(rounds: int, scale: float, others: Competitors) -> list[Row]:
    """Run rounds over all measures, so that a disturbance of the machine affects all of them."""
    table = measures(scale)
    times: dict[str, list[tuple[float, float]]] = {measure.name: [] for measure in table}
    for number in range(1, rounds + 1):
        for measure in table:
            _progress(f"round {number} of {rounds}: {measure.name}")
            yardstick = measure.yardstick() / measure.yardstick_count
            times[measure.name].append((yardstick, measure.ours() / measure.count))
        _progress(f"round {number} of {rounds}: other libraries")
        others.round()
    _progress("")
    return [*(row(measure, times[measure.name]) for measure in table), flat(times[FEW], times[MANY])]


def _memory(count: int) -> list[Row]:
    """Measure the bytes of resident memory of each thing, in processes of their own."""
    sizes: dict[str, float] = {}
    for kind in ("raw", "ours", "used"):
        _progress(f"memory: {kind}")
        command = [sys.executable, "-m", "benchmarks.supervision.memory", kind, str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        sizes[kind] = float(done.stdout)
    _progress("")
    return [
        memory("memory of an idle actor", sizes["raw"], sizes["ours"]),
        memory("memory of one that has worked", sizes["raw"], sizes["used"]),
    ]


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
