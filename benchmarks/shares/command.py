"""The command: options, rounds, the table and the verdict."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import trio

from benchmarks.api.requests import Run
from benchmarks.caller import Caller
from benchmarks.linking import link
from benchmarks.report import print_load, print_origin, print_table
from benchmarks.shares.limits import LIMITS, UNLINKED, A, B, Scene
from tests.loopback.remote import connect_loopback
from tests.support.api import open_api
from tests.support.site import Site, User, join_whatsapp, open_site

BAR: Final = 2.0
RECIPIENT: Final = User(90)
SETTINGS: Final = MappingProxyType(
    {
        "RATE_LIMIT_MAX_REQUESTS": "1000000",
        "WASUP_RATE_LIMIT_MAX_ORDERS": "1000000",
        "WASUP_OUTBOUND_ALLOW_HTTP": "true",
        "WASUP_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
)
"""Every other setting has its default. B's sends must not reach the rate limit, and webhooks are received on this machine."""
WARM_UP: Final = 20


@dataclass(slots=True)
class Figures:
    """B's sends alone and beside A, for one limit."""

    alone: Run = field(default_factory=Run)
    beside: Run = field(default_factory=Run)
    held: list[int] = field(default_factory=list[int])
    """How many places A held when B began and when it ended, for each round."""
    refused: int = 0

    @property
    def ratio(self) -> float:
        """B's p99 beside A divided by B's p99 alone."""
        return self.beside.quantile_ms(0.99) / self.alone.quantile_ms(0.99)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark. Return 1 when the bar was missed at a limit."""
    options = _options(arguments)
    print_origin("shares", arguments)
    figures = {name: Figures() for name in options.limit or LIMITS}
    with open_site(SETTINGS) as site:
        try:
            trio.run(_measure, site, figures, options)
        except BaseException:
            print(site.daemon.tail(), file=sys.stderr)
            raise
        finally:
            # An interrupted run still prints what it has measured.
            print_load("after")
            print_figures({name: found for name, found in figures.items() if found.held})
    return judge(figures)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks shares", description="One company's sends while another takes all it may."
    )
    parser.add_argument("--texts", type=int, default=100, help="of company B in a turn (default: 100)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="each with a turn alone and one beside A, of each limit (default: 3)"
    )
    parser.add_argument("--limit", choices=LIMITS, action="append", help="only this one (repeat; default: all)")
    options = parser.parse_args(arguments)
    if options.texts < 1 or options.rounds < 1:
        parser.error("every number must be at least 1")
    return options


async def _measure(site: Site, figures: dict[str, Figures], options: argparse.Namespace) -> None:
    site.daemon.start()
    await site.daemon.wait_ready()
    async with connect_loopback(site.endpoints) as loopback, open_api(site.daemon) as api:
        await join_whatsapp(loopback, [RECIPIENT, *UNLINKED])
        await link(site, api, [A, B])
        scene = Scene(site.daemon, api, await _key(site, A, *UNLINKED), await _key(site, B))
        await _send(scene, WARM_UP)  # sets up the encryption
        for _ in range(options.rounds):
            for name, found in figures.items():
                print(".", end="", flush=True, file=sys.stderr)
                await _turns(scene, name, found, options.texts)


async def _key(site: Site, *users: User) -> str:
    companies = [word for user in users for word in ("--company", user.company)]
    made = await site.wasup("keys", "create", "benchmark", *companies)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


async def _turns(scene: Scene, name: str, figures: Figures, texts: int) -> None:
    """Measure B alone, then directly beside A, so that both meet the machine at the same speed."""
    figures.alone.add(await _send(scene, texts))
    async with LIMITS[name](scene) as held:
        before = held.count()
        figures.beside.add(await _send(scene, texts))
        figures.held += [before, held.count()]
        figures.refused += held.refused()


async def _send(scene: Scene, texts: int) -> Run:
    run, caller = Run(), Caller(scene.daemon, scene.key_b)
    began = time.perf_counter()
    for number in range(texts):
        sent_at = time.perf_counter()
        await caller.send(B.company, RECIPIENT.phone, f"benchmark {number}")
        run.took.append(time.perf_counter() - sent_at)
    run.seconds = time.perf_counter() - began
    caller.close()
    return run


def print_figures(figures: dict[str, Figures]) -> None:
    """Print a row for each limit."""
    rows = [
        [
            name,
            str(len(found.beside.took)),
            f"{min(found.held)} to {max(found.held)}",
            str(found.refused),
            *(f"{run.quantile_ms(share):.1f}" for share in (0.5, 0.99) for run in (found.alone, found.beside)),
            f"{found.ratio:.2f}",
        ]
        for name, found in figures.items()
    ]
    columns = ["p50 alone ms", "beside A", "p99 alone ms", "beside A", "ratio"]
    print_table(["A takes all it may of", "B's sends", "A holds", "A refused", *columns], rows)


def judge(figures: dict[str, Figures]) -> int:
    """Print each limit at which the bar was missed, or at which A held nothing. Return 1 when there is one."""
    missed = [name for name, found in figures.items() if found.ratio >= BAR or not max(found.held)]
    print(f"\nB's p99 beside A below {BAR:g} x its p99 alone: {'MISSED: ' + ', '.join(missed) if missed else 'met'}")
    return int(bool(missed))
