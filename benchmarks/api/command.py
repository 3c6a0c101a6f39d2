"""The command: options, rounds, tables and the verdict."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Final

import msgspec
import trio

from benchmarks.api.readers import Heard, listening
from benchmarks.api.requests import Run, send_many
from benchmarks.api.usage import COLUMNS, Meter, ceiling, usage_row
from benchmarks.linking import link
from benchmarks.report import print_load, print_origin, print_table
from tests.loopback.peers import Peers, start_neonize
from tests.loopback.remote import RemoteLoopback, connect_loopback
from tests.support.api import open_api
from tests.support.site import Site, User, join_whatsapp, open_site

ONE_BAR: Final = 0.4
MANY_BAR: Final = 2.0
RECIPIENT: Final = User(90)
BARE_FROM: Final = 50
"""The first number of a bare client."""
SETTINGS: Final = MappingProxyType({"RATE_LIMIT_MAX_REQUESTS": "1000000"})
"""Every other setting has its default. The rate limit must not bound the benchmark."""
CONNECTED_WITHIN_S: Final = 60.0
AGAIN: Final = 200
"""Events that returning readers have missed."""


@dataclass(slots=True)
class Figures:
    """The measurements, by what was done."""

    runs: dict[str, Run] = field(default_factory=dict[str, Run])
    heard: Heard | None = None
    events_s: float = 0.0
    readers: int = 0
    alone: Heard | None = None
    again_a_second: float = 0.0

    def add(self, name: str, run: Run) -> None:
        """Add a round."""
        self.runs.setdefault(name, Run()).add(run)

    def ratio(self, one: str, other: str) -> float:
        """Return the rate of ``one`` divided by that of ``other``."""
        return self.runs[one].rate / self.runs[other].rate


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark. Return 1 when a bar was missed."""
    options = _options(arguments)
    print_origin("api", arguments)
    with open_site(SETTINGS) as site:
        try:
            figures = trio.run(_measure, site, options)
        except BaseException:
            print(site.daemon.tail(), file=sys.stderr)
            raise
    print_load("after")
    _print(figures, options)
    return _judge(figures, options)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks api", description="The API beside the bare library.")
    parser.add_argument("--companies", type=int, default=20, help="that send in parallel (default: 20)")
    parser.add_argument("--texts", type=int, default=400, help="of one company in a round (default: 400)")
    parser.add_argument("--rounds", type=int, default=3, help="of each, interleaved (default: 3)")
    parser.add_argument("--callers", type=int, default=8, help="requests of one company under way at once (default: 8)")
    parser.add_argument("--readers", type=int, default=100, help="of live events (default: 100)")
    options = parser.parse_args(arguments)
    if min(vars(options).values()) < 1 or options.texts < options.callers:
        parser.error("every number must be at least 1, and --texts at least --callers")
    return options


async def _measure(site: Site, options: argparse.Namespace) -> Figures:
    figures = Figures()
    companies = [User(number) for number in range(1, options.companies + 1)]
    bare = [User(number) for number in range(BARE_FROM, BARE_FROM + options.companies)]
    site.daemon.start()
    await site.daemon.wait_ready()
    async with connect_loopback(site.endpoints) as loopback, open_api(site.daemon) as api:
        await join_whatsapp(loopback, [RECIPIENT, *bare])
        await _make_recipient(site, loopback)
        await link(site, api, companies)
        async with _bare(site, loopback, bare) as peers:
            await _send_in_rounds(site, peers, figures, companies, bare, options)
        await api.wait_connected(*(user.company for user in companies))
        await _events(site, figures, companies, options)
    return figures


async def _make_recipient(site: Site, loopback: RemoteLoopback) -> None:
    """Make a recipient whose linked device is offline, so that it uses no processor time while texts are sent to it."""
    directory = site.directory / "recipient"
    directory.mkdir()
    async with start_neonize(site.endpoints, directory) as peers:
        await peers.open(RECIPIENT.phone)
        await loopback.scan(RECIPIENT.phone, (await peers.event(RECIPIENT.phone, "qr")).qr)
        await peers.event(RECIPIENT.phone, "connected")


@asynccontextmanager
async def _bare(site: Site, loopback: RemoteLoopback, users: Sequence[User]) -> AsyncGenerator[Peers]:
    directory = site.directory / "bare"
    directory.mkdir()
    async with start_neonize(site.endpoints, directory, module="benchmarks.api.bare") as peers:
        for user in users:
            await peers.open(user.phone)
            await loopback.scan(user.phone, (await peers.event(user.phone, "qr", timeout=CONNECTED_WITHIN_S)).qr)
            await peers.event(user.phone, "connected", timeout=CONNECTED_WITHIN_S)
        yield peers


async def _send_in_rounds(
    site: Site,
    peers: Peers,
    figures: Figures,
    companies: Sequence[User],
    bare: Sequence[User],
    options: argparse.Namespace,
) -> None:
    meter = Meter(site.daemon, peers.pid)
    for round_ in range(options.rounds + 1):  # the first one sets up the encryption, and does not count
        for name, send in _runs(site, peers, companies, bare, options).items():
            with meter.measuring() as used:
                run = await send()
            run.cpu_s = used
            if round_:
                figures.add(name, run)


def _runs(
    site: Site, peers: Peers, companies: Sequence[User], bare: Sequence[User], options: argparse.Namespace
) -> dict[str, Callable[[], Awaitable[Run]]]:
    """Return the measurements of a round, by name."""
    one, many = options.texts, max(options.texts // options.companies, 2)
    to = [RECIPIENT.phone] * len(companies)
    names = [user.company for user in companies]
    runs: dict[str, Callable[[], Awaitable[Run]]] = {}
    for callers in (1, options.callers):
        runs[f"one, {callers} at a time, bare"] = partial(_send_bare, peers, bare[:1], one, callers)
        runs[f"one, {callers} at a time, wasup"] = partial(send_many, site.daemon, names[:1], to[:1], one, callers)
    runs["many, bare"] = partial(_send_bare, peers, bare, many, 1)
    runs["many, wasup"] = partial(send_many, site.daemon, names, to, many, 1)
    return runs


async def _send_bare(peers: Peers, users: Sequence[User], texts: int, callers: int) -> Run:
    clients = [user.phone for user in users]
    answer = await peers.call("send_many", clients=clients, to=RECIPIENT.phone, texts=texts, callers=callers)
    return msgspec.json.decode(answer, type=Run)


async def _events(site: Site, figures: Figures, companies: Sequence[User], options: argparse.Namespace) -> None:
    """Have the companies write to each other in a ring: each text makes a message event for one and receipts for the other."""
    names = [user.company for user in companies]
    ring = [user.phone for user in (*companies[1:], companies[0])]
    texts = max(options.texts // options.companies, 2)
    await send_many(site.daemon, names, ring, 2, 1)  # sets up the encryption
    async with listening(site.daemon, 1) as figures.alone:
        for _ in range(20):
            await send_many(site.daemon, names[:1], ring[:1], 1, 1)
            await trio.sleep(0.05)
        await _quiet(figures.alone)
    figures.readers = options.readers
    async with listening(site.daemon, options.readers) as heard:
        began = time.perf_counter()
        await send_many(site.daemon, names, ring, texts, 1)
        await _quiet(heard)
        figures.events_s = heard.last_at - began
    figures.heard = heard
    await _come_back(site, figures, heard.last_seq)


async def _come_back(site: Site, figures: Figures, last_seq: int) -> None:
    """Have all readers ask for the newest events again while no company sends: this measures the rate for readers alone."""
    began = time.perf_counter()
    async with listening(site.daemon, figures.readers, after=max(last_seq - AGAIN, 0)) as again:
        await _quiet(again)
    figures.again_a_second = again.frames / (again.last_at - began)
    assert again.frames == min(last_seq, AGAIN) * figures.readers, f"{again.frames} frames"


async def _quiet(heard: Heard) -> None:
    """Wait until no event has come for a second."""
    before = -1
    while heard.frames != before:
        before = heard.frames
        await trio.sleep(1.0)


def _print(figures: Figures, options: argparse.Namespace) -> None:
    rows = [
        [name, str(len(run.took)), f"{run.rate:.0f}", f"{run.quantile_ms(0.5):.1f}", f"{run.quantile_ms(0.99):.1f}"]
        for name, run in figures.runs.items()
    ]
    print_table(["sends (one company, or all in parallel)", "sends", "a second", "p50 ms", "p99 ms"], rows)
    print_table(
        ["processor time of a send, ms", *COLUMNS, "all"], [usage_row(name, run) for name, run in figures.runs.items()]
    )
    heard, alone = figures.heard, figures.alone
    assert heard is not None
    assert alone is not None
    events = len(heard.lag_s)
    assert heard.frames == events * figures.readers, f"{heard.frames} frames of {events} events"
    print_table(
        [f"events of {options.companies} companies that write to each other", ""],
        [
            [f"events, each to {figures.readers} readers", str(events)],
            ["events a second", f"{events / figures.events_s:.0f}"],
            ["frames a second, all readers together", f"{heard.frames / figures.events_s:.0f}"],
            [f"the same when all come back for the newest {AGAIN}, and nobody sends", f"{figures.again_a_second:.0f}"],
            ["from its making to a reader, stored in between: p50, p99", _lag(heard)],
            ["the same with one reader and one message at a time", _lag(alone)],
        ],
    )


def _lag(heard: Heard) -> str:
    lag = Run(took=heard.lag_s)
    return f"{lag.quantile_ms(0.5):.1f} ms, {lag.quantile_ms(0.99):.1f} ms"


def _judge(figures: Figures, options: argparse.Namespace) -> int:
    callers = options.callers
    best = max((f"one, {n} at a time, bare" for n in (1, callers)), key=lambda name: figures.runs[name].rate)
    one = figures.ratio(f"one, {callers} at a time, wasup", best)
    many = figures.ratio("many, wasup", best)
    print(f"\none company: {one:.2f} x bare neonize's rate; bar: at least {ONE_BAR:g} x: {_verdict(one >= ONE_BAR)}")
    print(
        f"{options.companies} companies in parallel: {many:.2f} x bare neonize's rate for one; "
        f"bar: at least {MANY_BAR:g} x: {_verdict(many >= MANY_BAR)}"
    )
    print(
        f"(and {figures.ratio('many, wasup', 'many, bare'):.2f} x what bare neonize does with as many clients in parallel)"
    )
    most = ceiling(figures.runs["many, bare"])
    print(
        f"(bare sends and the WhatsApp they talk to would fill these cores at {most:.0f} a second, "
        f"{most / figures.runs[best].rate:.2f} x: the most there could be if wasup cost nothing)"
    )
    return int(one < ONE_BAR or many < MANY_BAR)


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "MISSED"
