"""Ten companies, two thousand exchanges, kills at random points throughout."""

from __future__ import annotations

import os
from random import Random

import pytest

from tests.acceptance.peer import Peer
from tests.chaos.crash_matrix import KINDS, SETTINGS, Matrix
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.seeds import chosen_seed
from tests.support.site import Plan, Site, User

pytestmark = pytest.mark.chaos

COMPANIES = tuple(User(number) for number in range(1, 11))
PLAN = Plan(companies=COMPANIES, others=(User(98), User(99)), settings=SETTINGS)
EXCHANGES = int(os.environ.get("CHAOS_EXCHANGES", "2000"))
EACH = (20, 80)


async def test_crash_matrix(site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer) -> None:
    """0 acknowledged sends lost, 0 re-pairings, 0 messages unreadable afterwards, every commit resolved."""
    seed = chosen_seed()
    print(f"crashes: seed {seed}", flush=True)
    matrix = Matrix(site, api, loopback, listener, talker, COMPANIES, Random(seed))
    damage = await matrix.run(EXCHANGES, between=EACH)

    assert set(damage.kills) == set(KINDS)
