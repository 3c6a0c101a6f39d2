"""The command: options, runs, and the verdict."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

import trio

from benchmarks.report import print_load, print_origin
from benchmarks.sessions.bars import judge
from benchmarks.sessions.figures import Figures
from benchmarks.sessions.measuring import measure
from benchmarks.sessions.tables import print_figures
from tests.support.site import open_site

DEFAULT: Final = (10, 100)
SETTINGS: Final = MappingProxyType({"RATE_LIMIT_MAX_REQUESTS": "100000"})
"""Every other setting has its default. At this pace, few companies would exceed the default rate limit."""


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark. Return 1 when a bar was missed."""
    options = _options(arguments)
    print_origin("sessions", arguments)
    runs = [_run(companies, options.idle_s) for companies in options.companies]
    print_load("after")
    print_figures(runs)
    return judge(runs)


def _run(companies: int, idle_s: float) -> Figures:
    with open_site(SETTINGS) as site:
        print(f"running    {companies} companies, state in {site.directory.parent}", flush=True)
        try:
            return trio.run(measure, site, companies, idle_s)
        except BaseException:
            print(site.daemon.tail(), file=sys.stderr)
            raise


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks sessions", description="The cost of real sessions.")
    parser.add_argument(
        "--companies", type=int, nargs="+", default=DEFAULT, help="one run for each; at least 2 (default: 10 100)"
    )
    parser.add_argument(
        "--idle-s",
        type=float,
        default=30.0,
        help="seconds over which idling is measured (default: 30, in which each company is checked once)",
    )
    options = parser.parse_args(arguments)
    if min(options.companies) < 2 or options.idle_s <= 0:
        parser.error("--companies must be at least 2 and --idle-s more than 0")
    return options
