"""The supervision core against a raw trio memory channel, Pykka and triotp, in one run with interleaved rounds.

Figures are CPU times. A ratio says how many times faster the core is than the yardstick; the run fails (exit code 1) when a ratio
is missed by more than the noise that was measured: half the distance between the quartiles of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import print_load, print_origin, print_table
from benchmarks.supervision.measures import Measure, measures

HERE = Path(__file__).parent


@dataclass
class Row:
    name: str
    yardstick: float
    ours: float
    ratio: float
    noise: float
    at_least: float
    unit: str = "us"

    @property
    def holds(self) -> bool:
        return self.ratio + self.noise >= self.at_least


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, judge."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks supervision", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds, of which medians are taken (5)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the amounts of work (1.0)")
    peers_help = (
        "an interpreter with Pykka and triotp (triotp for Python 3.11 needs trio 0.19, so it cannot be this one)"
    )
    parser.add_argument("--peers", default=os.environ.get("BENCHMARK_PEERS_PYTHON", sys.executable), help=peers_help)
    options = parser.parse_args(arguments)
    print_origin("supervision", arguments)
    rows = _measure(options.rounds, options.scale) + _memory()
    _print(rows, _peers(options.peers))
    print_load("after")
    missed = [row.name for row in rows if not row.holds]
    print(f"missed: {', '.join(missed)}" if missed else "every promise is kept")
    return 1 if missed else 0


def _measure(rounds: int, scale: float) -> list[Row]:
    """Rounds over all measures, so that what disturbs the machine disturbs each of them."""
    table = measures(scale)
    times: dict[str, list[tuple[float, float]]] = {measure.name: [] for measure in table}
    for number in range(rounds):
        for position, measure in enumerate(table):
            _progress(f"round {number + 1} of {rounds}, {position + 1} of {len(table)}: {measure.name}")
            yardstick = measure.yardstick() / measure.yardstick_count
            times[measure.name].append((yardstick, measure.ours() / measure.count))
    _progress("")
    rows = [_row(measure, times[measure.name]) for measure in table]
    return [*rows, _flat(times)]


def _row(measure: Measure, times: list[tuple[float, float]]) -> Row:
    ratios = [yardstick / ours for yardstick, ours in times]
    yardstick = statistics.median(time for time, _ in times) * 1e6
    ours = statistics.median(time for _, time in times) * 1e6
    return Row(measure.name, yardstick, ours, statistics.median(ratios), _noise(ratios), measure.at_least)


def _flat(times: dict[str, list[tuple[float, float]]]) -> Row:
    """A restart is to cost the same among 10 and among 10,000 siblings; a quarter more is taken for the same."""
    few, many = times["restart until it answers, 10 siblings"], times["restart until it answers, 10,000 siblings"]
    ratios = [
        (few_ours / few_raw) / (many_ours / many_raw)
        for (few_raw, few_ours), (many_raw, many_ours) in zip(few, many, strict=True)
    ]
    us = [statistics.median(ours for _, ours in rows) * 1e6 for rows in (few, many)]
    return Row("restart, flat from 10 to 10,000 siblings", us[0], us[1], statistics.median(ratios), _noise(ratios), 0.8)


def _noise(ratios: list[float]) -> float:
    if len(ratios) < 3:
        return 0.0
    low, _, high = statistics.quantiles(ratios, n=4)
    return (high - low) / 2


def _memory(count: int = 10_000) -> list[Row]:
    """Bytes of resident memory each, in processes of their own; no noise worth measuring."""
    sizes: dict[str, float] = {}
    for kind in ("raw", "ours", "used"):
        _progress(f"memory: {kind}")
        command = [sys.executable, "-m", "benchmarks.supervision.memory", kind, str(count)]
        sizes[kind] = float(
            subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parents[1]).stdout
        )
    _progress("")
    return [
        Row("memory of an idle actor", sizes["raw"], sizes["ours"], sizes["raw"] / sizes["ours"], 0.0, 1.0, "B"),
        Row("memory of one that has worked", sizes["raw"], sizes["used"], sizes["raw"] / sizes["used"], 0.0, 1.0, "B"),
    ]


def _peers(python: str) -> dict[str, dict[str, float]]:
    """Microseconds per piece of work of the libraries the interpreter has."""
    _progress("peers")
    done = subprocess.run([python, str(HERE / "peers.py")], capture_output=True, text=True, check=False, timeout=300)
    _progress("")
    if done.returncode:
        print(f"peers failed in {python}: {done.stderr.strip().splitlines()[-1]}")
        return {}
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    for name in ("pykka", "triotp"):
        if name not in found:
            print(f"{name}: not installed for {python} (see --peers)")
    return found


HEADER = ("", "ours", "yardstick", "ratio", "noise", "at least", "pykka us", "triotp us", "")


def _print(rows: list[Row], peers: dict[str, dict[str, float]]) -> None:
    def cells(row: Row) -> list[str]:
        theirs = [peers.get(name, {}).get(row.name) for name in ("pykka", "triotp")]
        return [
            row.name,
            f"{row.ours:,.2f} {row.unit}",
            f"{row.yardstick:,.2f} {row.unit}",
            f"{row.ratio:.2f}",
            f"{row.noise:.2f}",
            f"{row.at_least:.2f}",
            *(f"{microseconds:,.1f}" if microseconds is not None else "" for microseconds in theirs),
            "" if row.holds else "MISSED",
        ]

    print_table(HEADER, [cells(row) for row in rows])


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
