"""The command: options, parts, tables and the verdict."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from benchmarks.report import print_load, print_origin
from benchmarks.storage import bars, committing, fleet, loading, population, sizes, tables
from benchmarks.storage.node import open_baileys
from benchmarks.storage.place import open_place
from benchmarks.storage.population import KEYS_A_COMPANY
from benchmarks.storage.sample import LEAST_KEYS, make_sample
from benchmarks.storage.site import open_site

LOADS_A_ROUND: Final = 4
"""A load takes milliseconds, so several a round cost nothing."""
QUESTIONS_A_ROUND: Final = 20


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark. Return 1 when a bar was missed."""
    options = _options(arguments)
    print_origin("storage", arguments)
    with open_place(options.directory) as place:
        place.print()
        return trio.run(_run, place.directory, options)


async def _run(directory: Path, options: argparse.Namespace) -> int:
    samples = [make_sample(directory / f"baileys-{keys}", keys) for keys in options.keys]
    for sample in samples:
        print("company   ", sample.describe())
    async with open_site(directory) as site:
        written = await committing.measure(site, options.writers, options.rounds, options.seconds)
        tables.print_committing(written)
        async with open_baileys() as baileys:
            loaded = await loading.measure(site, samples, baileys, options.rounds * LOADS_A_ROUND)
        tables.print_loading(loaded)
        questions = options.rounds * QUESTIONS_A_ROUND
        tables.print_populations([await population.measure(site, rows, questions) for rows in options.rows])
        tables.print_fleets(await fleet.measure(site, options.companies, 10 * options.seconds))
        tables.print_sizes(await sizes.measure(site, samples))
    print()
    print_load("after")
    return bars.judge(bars.bars(written, loaded))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks storage", description="Auth state beside its alternatives."
    )
    parser.add_argument("--rounds", type=int, default=5, help="interleaved, of which medians are taken (5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of writing, each way in each round (1)")
    parser.add_argument("--writers", type=int, nargs="+", default=(64, 256), help="at once (64 256)")
    parser.add_argument("--keys", type=int, nargs="+", default=(335, 1313), help="of a company (335 1313)")
    parser.add_argument(
        "--rows", type=int, nargs="+", default=(100_000, 1_300_000), help="of the whole table (100000 1300000)"
    )
    parser.add_argument("--companies", type=int, default=1000, help="that all write at once (1000)")
    parser.add_argument(
        "--directory", type=Path, help="where Postgres and the files go (the temporary directory, if it is on a disk)"
    )
    options = parser.parse_args(arguments)
    if min(options.rounds, options.companies, *options.writers) < 1 or options.seconds <= 0:
        parser.error("--rounds, --seconds, --writers and --companies must be at least 1, --seconds more than 0")
    if min(options.keys) < LEAST_KEYS or min(options.rows) < KEYS_A_COMPANY:
        parser.error(f"--keys must be at least {LEAST_KEYS} and --rows at least {KEYS_A_COMPANY}")
    return options
