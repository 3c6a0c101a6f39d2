"""Runs one soak, from the first company to the last sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

import trio

from benchmarks.linking import link
from benchmarks.soak.churn import Churn
from benchmarks.soak.remains import remains
from benchmarks.soak.sampling import Sampler, Series
from benchmarks.soak.texts import Texts
from tests.acceptance.peer import open_peers
from tests.chaos.nemesis import FAULTS, History, Stage, chaos_run
from tests.loopback.peers import start_neonize
from tests.loopback.remote import connect_loopback
from tests.support.api import SESSIONS, Api, open_api
from tests.support.site import Site, User, join_whatsapp

PAUSE_S: Final = (2.0, 10.0)
"""The shortest and the longest pause between two faults."""
ENDS_THE_DAEMON: Final = ("kill_daemon", "restart_daemon")
"""Faults that are left out: a daemon that ends cannot grow."""
CALM: Final = ("drop_everyone", "drop_one", "half_open", "stream_error", "replace", "hold_acks", "lock_table")
"""Faults that end no process."""
BACK_WITHIN_S: Final = 180.0
PATHS: Final = 1100
"""Requests for different paths before the first sample: the router remembers the last 1,024, and new companies would fill that only long
after the warm-up."""
QUIET_S: Final = 30.0
"""The rest at the end, with nothing to do, before the last measurement."""


@dataclass(slots=True)
class Outcome:
    """The results of one run."""

    series: Series = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter[str])
    lives: Counter[str] = field(default_factory=Counter[str])
    codes: Counter[str] = field(default_factory=Counter[str])
    acknowledged: int = 0
    written: int = 0
    quiet: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """The resources in use at rest: before the first text, and at the end."""
    remains: dict[str, int] = field(default_factory=dict[str, int])
    """The number of rows of deleted companies, by table."""


async def soak(site: Site, *, minutes: float, companies: int, seed: int, is_calm: bool) -> Outcome:
    """Run the soak. Raises AssertionError when an acknowledged text is lost or comes twice, or a company does not recover."""
    users = [User(number) for number in range(1, companies + 1)]
    others = (User(companies + 1), User(companies + 2))
    site.daemon.start()
    await site.daemon.wait_ready()
    async with open_api(site.daemon) as api, connect_loopback(site.endpoints) as loopback:
        await link(site, api, users)
        await join_whatsapp(loopback, others)
        async with open_peers(start_neonize, others, site, loopback) as (listener, talker):
            stage = Stage(site, api, loopback, tuple(users), Random(seed))
            return await _run(stage, Texts(api, listener, talker), minutes * 60.0, is_calm=is_calm)


async def _run(stage: Stage, texts: Texts, seconds: float, *, is_calm: bool) -> Outcome:
    sampler = _sampler(stage)
    churn, history = Churn(stage.site, stage.api, texts), History()
    names = CALM if is_calm else tuple(name for name in FAULTS if name not in ENDS_THE_DAEMON)
    for number in range(PATHS):
        await stage.api.try_get(f"{SESSIONS}/never-{number}/status")
    before = await _quiet(stage)
    async with trio.open_nursery() as around:
        around.start_soon(texts.collect)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sampler.run)
            nursery.start_soon(texts.run, stage.companies)
            await _churn_under_faults(churn, stage, history, names, seconds)
            await _everyone_back(stage.api, stage.companies)
            nursery.cancel_scope.cancel()
        await texts.wait_arrived()
        around.cancel_scope.cancel()
    after = await _quiet(stage)
    return Outcome(
        series=sampler.series,
        faults=Counter(name for _, name, _ in history.faults),
        lives=churn.lives,
        codes=texts.codes,
        acknowledged=len(texts.acknowledged),
        written=texts.written,
        quiet={name: (value, after[name]) for name, value in before.items() if name in after},
        remains=await remains(stage.site.dsn, churn.companies),
    )


async def _churn_under_faults(
    churn: Churn, stage: Stage, history: History, names: Sequence[str], seconds: float
) -> None:
    enough, end = trio.Event(), trio.current_time() + seconds
    async with trio.open_nursery() as nursery:
        nursery.start_soon(churn.run, enough)
        while trio.current_time() < end:  # no fault is cut short, because it has to clean up
            await chaos_run(stage, history, faults=1, names=names)
            await trio.sleep(stage.random.uniform(*PAUSE_S))
        await stage.loopback.fault("heal")
        enough.set()


async def _everyone_back(api: Api, users: Sequence[User]) -> None:
    await api.wait_connected(*(user.company for user in users), within=BACK_WITHIN_S)


def _sampler(stage: Stage) -> Sampler:
    return Sampler(stage.site, stage.api, stage.loopback, [user.company for user in stage.companies])


async def _quiet(stage: Stage) -> dict[str, float]:
    await trio.sleep(QUIET_S)
    sampler = _sampler(stage)
    await sampler.sample(with_tables=True, packed=True)
    return {name: points[0][1] for name, points in sampler.series.items()}
