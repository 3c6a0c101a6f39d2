"""The figures as tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final

from benchmarks.report import print_table
from benchmarks.storage import loading as l
from benchmarks.storage.committing import ALONE, BASELINES, SENT, Committing, baseline, name_of
from benchmarks.storage.fleet import Fleet, quantiles_ms
from benchmarks.storage.loading import Loading
from benchmarks.storage.population import Population
from benchmarks.storage.rounds import Rounds, quantile
from benchmarks.storage.sizes import Size

WAYS: Final = ("plain", "sealed")


def print_committing(found: Committing) -> None:
    """Print keys a second, processor time, and how many keys a group commit had."""
    rows = [
        [
            name,
            f"{found.rates.median(name):.0f}",
            f"{found.cpu_us.median(name):.1f}",
            f"{found.keys_a_commit.median(name):.0f}" if name in found.keys_a_commit.values else "",
        ]
        for name in found.rates.values
    ]
    head = [
        "upserts of 300 bytes, each durable before it is answered",
        "keys a second",
        "CPU us a key",
        "keys a commit",
    ]
    print_table(head, sorted(rows, key=lambda row: -float(row[1])))
    print(f"\nthe fastest statement: {found.fastest()}")
    _print_grouped(found)


def _print_grouped(found: Committing) -> None:
    """Print the ratio of rates to each alternative, in the same round; and the ratio of processor time a key, which a busy machine disturbs
    less."""
    lines: list[list[str]] = []
    for writers, keys, way in product(found.writers, (1, SENT), WAYS):
        ours = name_of(way, writers, keys)
        alone, others = baseline(ALONE, writers), [baseline(name, writers) for name in BASELINES]
        rates = [f"{found.rates.times(ours, other):.2f} x" for other in (*others, found.fastest())]
        cpu = [f"{found.cpu_us.times(other, ours):.2f} x" for other in (alone, found.fastest())]
        lines.append([ours, *rates, *cpu])
    fastest = "the fastest statement"
    print_table(["rate, times that of", *BASELINES, fastest, f"CPU: {ALONE}", f"CPU: {fastest}"], lines)


def print_loading(found: Loading) -> None:
    """Print the milliseconds of a load and of a write of 100 keys, and their ratios to wasup's."""
    for keys, times in found.loads.items():
        _print_times(f"load of {keys} keys, ms", times, l.OURS)
        _print_missing(found, (l.NODE, l.NODE_ONE))
    _print_times("write of 100 keys, ms", found.writes, l.COMMIT)
    _print_missing(found, (l.NODE_WRITES,))


def print_populations(found: Sequence[Population]) -> None:
    """Print a column for each number of rows."""
    head = ["whatsapp_keys, ms: p50 (p99)", *(f"{one.rows:,} rows" for one in found)]
    questions = list(found[0].times.values)
    lines = [[question, *(_p50_p99(one.times.values[question]) for one in found)] for question in questions]
    lines.append(["filled and vacuumed in", *(f"{one.fill_s:.1f} s" for one in found)])
    lines.append(["table", *(f"{one.table_bytes / 1e6:.0f} MB" for one in found)])
    lines.append(["indexes", *(f"{one.index_bytes / 1e6:.0f} MB" for one in found)])
    print_table(head, lines)


def print_fleets(found: Sequence[Fleet]) -> None:
    """Print latencies by how much is written."""
    lines: list[list[str]] = []
    for fleet in found:
        for pace, written in (("each once a second", fleet.paced), ("each as fast as it is answered", fleet.flat_out)):
            p50, p99 = quantiles_ms(written)
            commits = f"{len(written.took_s) / written.seconds:.0f}"
            lines.append([f"{fleet.way}, {pace}", commits, f"{p50:.1f}", f"{p99:.1f}", f"{written.keys_a_commit:.0f}"])
    head = [
        f"{found[0].companies} companies write 3 keys at a time",
        "writes a second",
        "p50 ms",
        "p99 ms",
        "keys a commit",
    ]
    print_table(head, lines)


def print_sizes(found: Sequence[Size]) -> None:
    """Print the kilobytes of one company."""
    lines = [
        [
            f"{one.keys} keys, {one.way}",
            *(f"{size / 1000:.0f}" for size in (one.values, one.tables, one.indexes, one.tables + one.indexes)),
            f"{one.device_file / 1000:.0f}",
            f"{one.files / 1000:.0f}",
        ]
        for one in found
    ]
    head = ["one company, kB", "its JSON", "tables", "indexes", "Postgres in all", "device file", "Baileys' files"]
    print_table(head, lines)


def _print_times(title: str, times: Rounds, ours: str) -> None:
    ways = [ours.format(way=way) for way in WAYS]
    lines = [
        [
            name,
            f"{times.median(name):.2f}",
            f"{quantile(times.values[name], 0.99):.2f}",
            *(f"{times.times(name, way):.1f} x" for way in ways),
        ]
        for name in times.values
    ]
    print_table([title, "p50", "p99", *(f"times {way}" for way in WAYS)], lines)


def _print_missing(found: Loading, names: Sequence[str]) -> None:
    if found.no_node is not None:
        for name in names:
            print(f"{name}: not measured, {found.no_node}")


def _p50_p99(milliseconds: Sequence[float]) -> str:
    return f"{quantile(milliseconds, 0.5):.2f} ({quantile(milliseconds, 0.99):.2f})"
