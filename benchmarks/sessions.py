"""``python -m benchmarks sessions``: what real sessions of the installed `wasup run` cost.

Companies are linked to the loopback WhatsApp (tests/loopback) by QR code with the real engine, real encryption and the
embedded Postgres, every setting at its default. Printed: memory (PSS) with 1, 10 and N of them connected and idle, and
from the last two what one more company costs; the time to link, to stop, and to be connected again; processor time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from benchmarks.footprint import PARTS, Footprint, footprint
from benchmarks.linking import AT_ONCE, link
from benchmarks.report import print_load, print_origin, print_table
from tests.loopback.remote import RemoteLoopback, connect_loopback
from tests.support.api import Api, open_api
from tests.support.site import Site, User, open_site

MIB: Final = 1024**2
BAR_MB: Final = 2.0
"""What one more linked and connected company may cost."""
BAR_FROM: Final = 20
"""Companies from which on the bar is held: the slope over a few is noise."""
REPLACED_MB: Final = 158
"""One session of the system that wasup replaces. Stated by its operators, not measured here."""
STEPS: Final = (1, 10)
SETTLED_CPU: Final = 0.1
SETTLE_WITHIN_S: Final = 20.0
STOP_WITHIN_S: Final = 60.0


class NotIdleError(Exception):
    """Not every company is connected, or one lost its connection while it was measured."""


@dataclass(slots=True)
class Figures:
    """What one run measured; times in seconds."""

    idle: dict[int, Footprint] = field(default_factory=dict[int, Footprint])
    """By the number of companies connected."""
    restarted: Footprint | None = None
    """With all of them, after the restart."""
    idle_cpu: dict[str, float] = field(default_factory=dict[str, float])
    """Of one core, by part."""
    link_s: float = 0.0
    stop_s: float = 0.0
    listening_s: float = 0.0
    """From the start of the process until it serves HTTP."""
    connected_s: float = 0.0
    """From the start of the process until every company is connected."""

    def company_mb(self, part: str | None = None) -> float:
        """The memory of one more company, by the last two steps; of one part or of all."""
        (few, before), (many, after) = list(self.idle.items())[-2:]
        grown = after.pss_bytes[part] - before.pss_bytes[part] if part else after.total_bytes - before.total_bytes
        return grown / MIB / (many - few)


def main(arguments: Sequence[str]) -> int:
    """1 when one more company costs more than the bar."""
    options = _options(arguments)
    print_origin("sessions", arguments)
    with open_site({}) as site:
        print("state in  ", site.directory.parent, flush=True)
        try:
            figures = trio.run(_measure, site, options)
        except BaseException:
            print(site.daemon.tail(), file=sys.stderr)
            raise
    print_load("after")
    _print_memory(figures)
    _print_times(figures, options)
    return _judge(figures, options.companies)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks sessions", description="The cost of real sessions.")
    parser.add_argument("--companies", type=int, default=100, help="at least 2 (default: 100)")
    parser.add_argument(
        "--idle-s", type=float, default=10.0, help="seconds over which idling is measured (default: 10)"
    )
    options = parser.parse_args(arguments)
    if options.companies < 2 or options.idle_s <= 0:
        parser.error("--companies must be at least 2 and --idle-s more than 0")
    return options


async def _measure(site: Site, options: argparse.Namespace) -> Figures:
    figures = Figures()
    site.daemon.start()
    await site.daemon.wait_ready()
    async with connect_loopback(site.endpoints) as loopback, open_api(site.daemon) as api:
        await _link_in_steps(site, api, loopback, figures, options.companies)
        await _idle(site, api, loopback, figures, options)
        await _restart(site, api, loopback, figures, options.companies)
    return figures


async def _link_in_steps(site: Site, api: Api, loopback: RemoteLoopback, figures: Figures, companies: int) -> None:
    linked = 0
    for step in sorted({*(step for step in STEPS if step < companies), companies}):
        users = [User(number) for number in range(linked + 1, step + 1)]
        figures.link_s += await link(site, api, users)
        linked = step
        figures.idle[linked] = await _settled(site)
        await _assert_connected(api, loopback, companies=linked, pairings=linked)


async def _idle(site: Site, api: Api, loopback: RemoteLoopback, figures: Figures, options: argparse.Namespace) -> None:
    logins = (await loopback.counters())["logins"]
    began, before = trio.current_time(), footprint(site.daemon)
    await trio.sleep(options.idle_s)
    after, seconds = footprint(site.daemon), trio.current_time() - began
    figures.idle_cpu = {part: (after.cpu_s[part] - before.cpu_s[part]) / seconds for part in PARTS}
    await _assert_connected(api, loopback, companies=options.companies, pairings=options.companies)
    if (now := (await loopback.counters())["logins"]) != logins:
        raise NotIdleError(f"{now - logins} log-ins while idle, expected none")


async def _restart(site: Site, api: Api, loopback: RemoteLoopback, figures: Figures, companies: int) -> None:
    within = 60.0 + companies
    before = (await loopback.counters())["logins"]
    began = trio.current_time()
    await site.daemon.stop(within=STOP_WITHIN_S)
    figures.stop_s = trio.current_time() - began
    began = trio.current_time()
    site.daemon.start()
    await site.daemon.wait_ready()
    figures.listening_s = trio.current_time() - began
    # The loopback is asked, not the daemon: being asked costs time, and the daemon's is measured.
    await loopback.wait_until(lambda counters: counters["logins"] >= before + companies, timeout=within)
    await api.wait_connected(*(User(number).company for number in range(1, companies + 1)), within=within)
    figures.connected_s = trio.current_time() - began
    figures.restarted = await _settled(site)
    await _assert_connected(api, loopback, companies=companies, pairings=companies)


async def _settled(site: Site) -> Footprint:
    """What it uses once a second has passed in which it did little, at the latest after `SETTLE_WITHIN_S`."""
    with trio.move_on_after(SETTLE_WITHIN_S):
        before = footprint(site.daemon).total_cpu_s
        while True:
            await trio.sleep(1.0)
            now = footprint(site.daemon).total_cpu_s
            if now - before < SETTLED_CPU:
                break
            before = now
    return footprint(site.daemon)


async def _assert_connected(api: Api, loopback: RemoteLoopback, *, companies: int, pairings: int) -> None:
    connected = sum(state == "connected" for state in (await api.states()).values())
    listening = sum(device.listening for device in await loopback.devices())
    paired = (await loopback.counters())["pairings"]
    if (connected, listening, paired) != (companies, companies, pairings):
        raise NotIdleError(
            f"{connected} companies say they are connected, the loopback has {listening} of {companies} devices online "
            f"after {paired} pairings, expected {pairings}"
        )


def _print_memory(figures: Figures) -> None:
    rows = [_memory_row(f"{linked} connected, idle", each) for linked, each in figures.idle.items()]
    if figures.restarted is not None:
        rows.append(_memory_row(f"{list(figures.idle)[-1]} connected, after a restart", figures.restarted))
    slopes = [f"{figures.company_mb(part):.2f}" for part in (*PARTS, None)]
    rows.append(["one more company", *slopes])
    print_table(["memory (PSS), MB", *PARTS, "all"], rows)


def _memory_row(title: str, each: Footprint) -> list[str]:
    cells = [f"{each.pss_bytes[part] / MIB:.1f} ({each.processes[part]})" for part in PARTS]
    return [title, *cells, f"{each.total_bytes / MIB:.1f}"]


def _print_times(figures: Figures, options: argparse.Namespace) -> None:
    n = options.companies
    cpu = ", ".join(f"{part} {100 * share:.1f}" for part, share in figures.idle_cpu.items())
    rows = [
        [f"linking {n} companies by QR, {AT_ONCE} at once", f"{figures.link_s:.1f} s"],
        ["SIGTERM to exit", f"{figures.stop_s:.2f} s"],
        ["start to serving HTTP", f"{figures.listening_s:.2f} s"],
        [f"start to {n} connected, no new pairing", f"{figures.connected_s:.2f} s"],
        [f"idle over {options.idle_s:g} s ({cpu})", f"{100 * sum(figures.idle_cpu.values()):.1f} % of a core"],
    ]
    print_table(["time", ""], rows)


def _judge(figures: Figures, companies: int) -> int:
    cost = figures.company_mb()
    few, many = list(figures.idle)[-2:]
    print(f"\nmemory of one more linked and connected company: {cost:.2f} MB (from {few} to {many})")
    print(
        f"the system it replaces, as stated by its operators: {REPLACED_MB} MB for one session (quoted, not measured)"
    )
    if companies < BAR_FROM:
        print(f"bar: at most {BAR_MB:g} MB; not held below {BAR_FROM} companies")
        return 0
    missed = cost > BAR_MB
    print(f"bar: at most {BAR_MB:g} MB: {'MISSED' if missed else 'met'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
