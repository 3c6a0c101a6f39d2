"""The command: options, the run, and the verdict."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from random import SystemRandom
from types import MappingProxyType
from typing import Final

import trio

from benchmarks.report import print_load, print_origin, print_table
from benchmarks.soak.bars import judge, print_lines
from benchmarks.soak.remains import BY_DESIGN
from benchmarks.soak.running import Outcome, soak
from tests.support.settings import SHORT_WAITS
from tests.support.site import Site, open_site

WARM_UP: Final = 0.2
"""The share of the run until caches, pools and tables have their full size."""
SETTINGS: Final = MappingProxyType(
    {
        **SHORT_WAITS,
        "RATE_LIMIT_MAX_REQUESTS": "100000",
        "WASUP_SESSIONS_PER_ENGINE": "5",
        # Whatever is kept for a time or up to a number must reach that within the warm-up, or it would seem to grow.
        "WASUP_EVENTS_RETENTION_S": "60",
        "WASUP_JANITOR_INTERVAL_S": "15",
        "WASUP_ENGINE_MAX_STALE_CLIENTS": "30",
    }
)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark. Return 1 when something grows, or deleted companies left rows that they must not."""
    options = _options(arguments)
    print_origin("soak", arguments)
    print("seed      ", options.seed, flush=True)
    with open_site(SETTINGS) as site:
        try:
            outcome = trio.run(partial(_run, site, options))
        except BaseException:
            print(site.daemon.tail(), file=sys.stderr)
            raise
    print_load("after")
    return _report(outcome, options)


async def _run(site: Site, options: argparse.Namespace) -> Outcome:
    return await soak(
        site, minutes=options.minutes, companies=options.companies, seed=options.seed, is_calm=options.calm
    )


def _report(outcome: Outcome, options: argparse.Namespace) -> int:
    print(f"\nfaults     {sum(outcome.faults.values())}: {_told(outcome.faults)}")
    print(f"churn      {sum(outcome.lives.values())} companies: {_told(outcome.lives)}")
    print(f"texts      {outcome.acknowledged} acknowledged, each arrived once; {outcome.written} written to companies")
    print(f"           answers to sends: {_told(outcome.codes)}")
    print_table(
        ["with nothing to do", "before", "after"],
        [[name, *(f"{value:.2f}" for value in values)] for name, values in sorted(outcome.quiet.items())],
    )
    lines = judge(outcome.series, warm_up_s=WARM_UP * options.minutes * 60.0, is_calm=options.calm)
    grows = print_lines(lines)
    return max(grows, _report_remains(outcome.remains))


def _report_remains(remains: Mapping[str, int]) -> int:
    left = {table: rows for table, rows in remains.items() if table not in BY_DESIGN}
    print("\nrows of deleted companies:")
    for table, rows in remains.items():
        print(f"  {table}: {rows} ({BY_DESIGN.get(table, 'LEFT BEHIND')})")
    return int(bool(left))


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks soak", description="Traffic, churn and faults; nothing may grow."
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default: 60); the first fifth warms up")
    parser.add_argument("--companies", type=int, default=6, help="that stay all the time (default: 6)")
    parser.add_argument("--seed", type=int, default=None, help="of the faults (default: a new one, printed)")
    parser.add_argument(
        "--calm", action="store_true", help="no fault that ends a process: then engines and Postgres are judged, too"
    )
    options = parser.parse_args(arguments)
    if options.minutes <= 0 or options.companies < 1:
        parser.error("--minutes must be more than 0 and --companies at least 1")
    if options.seed is None:
        options.seed = SystemRandom().randrange(1_000_000)
    return options
