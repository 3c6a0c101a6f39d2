"""Random faults under traffic. ``make chaos SEED=7`` repeats a run; the suite has a short one."""

from __future__ import annotations

import os
from random import Random

import pytest

from tests.acceptance.peer import Peer
from tests.acceptance.traffic import flowing
from tests.acceptance.witness import witness
from tests.chaos.checker import RECOVERED_WITHIN_S, Checker, holdings
from tests.chaos.nemesis import FAULTS, History, Stage, chaos_run
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.seeds import chosen_seed
from tests.support.settings import SHORT_WAITS
from tests.support.site import Plan, Site, User

A, B, C, D, LISTENER, TALKER = (User(number) for number in range(1, 7))
COMPANIES = (A, B, C, D)
PLAN = Plan(
    companies=COMPANIES,
    others=(LISTENER, TALKER),
    settings={**SHORT_WAITS, "WASUP_SESSIONS_PER_ENGINE": "2", "RATE_LIMIT_MAX_REQUESTS": "100000"},
)
SHORT_SEED = 962302
SHORT = ("kill_actor", "kill_engine", "drop_everyone", "kill_postgres")
FAULTS_IN_ALL = int(os.environ.get("CHAOS_DEEDS", "60"))


async def run_and_check(
    site: Site,
    api: Api,
    loopback: RemoteLoopback,
    peers: tuple[Peer, Peer],
    seed: int,
    faults: int,
    names: tuple[str, ...],
) -> None:
    """One run: traffic, faults, recovery, proof."""
    listener, talker = peers
    print(f"chaos: seed {seed}, {faults} faults of {len(names)} kinds", flush=True)
    await api.wait_connected(*(user.company for user in COMPANIES))
    before, held = await witness(api, loopback), holdings(site)
    checker = Checker(site, api, loopback, COMPANIES, before)
    history = History()
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        await traffic.wait_acknowledged(20)
        await chaos_run(Stage(site, api, loopback, COMPANIES, Random(seed)), history, faults=faults, names=names)
        await loopback.fault("heal")
        await checker.everyone_is_back()
        for user in (
            COMPANIES
        ):  # the library keeps a send whose acknowledgement WhatsApp lost for 75 s, and the next ones behind it
            await traffic.wait_acknowledged(5, company=user, within=RECOVERED_WITHIN_S)
    await checker.every_acknowledged_send_arrived_once(traffic, listener)
    await traffic.wait_delivered(since=before.seq, within=60.0)
    await checker.nobody_was_asked_to_pair()
    await checker.one_socket_a_company()
    await checker.nothing_is_held(held)
    await checker.postgres_has_everything(listener)
    print(
        f"chaos: seed {seed}: {len(traffic.account.acknowledged)} sends acknowledged, all arrived once, "
        f"{len(traffic.account.sent_back)} messages told once; "
        f"{dict(traffic.account.codes())}",
        flush=True,
    )


async def test_a_short_torment(site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer) -> None:
    """Six faults of four kinds: no acknowledged send is lost, no company pairs again, everything is back, nothing is left behind."""
    await run_and_check(site, api, loopback, (listener, talker), SHORT_SEED, 6, SHORT)


@pytest.mark.chaos
@pytest.mark.parametrize("turn", range(3))
async def test_torment(site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer, turn: int) -> None:
    """All kinds of faults, three seeds in a row."""
    seed = chosen_seed() + turn
    await run_and_check(site, api, loopback, (listener, talker), seed, FAULTS_IN_ALL, tuple(FAULTS))
