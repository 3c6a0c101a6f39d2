"""The crash matrix, short and with few companies; test_crash_matrix.py has the long run."""

from __future__ import annotations

from random import Random

import pytest

from tests.acceptance.peer import Peer
from tests.chaos.crash_matrix import KINDS, SETTINGS, Matrix
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.site import Plan, Site, User

COMPANIES = (User(1), User(2))
PLAN = Plan(companies=COMPANIES, others=(User(98), User(99)), settings=SETTINGS)
SEED = 962302
SHORT = ("daemon, files deleted", "engine and postgres")


async def test_two_crashes(site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer) -> None:
    """No acknowledged send is lost, no company pairs again, every received message becomes an event, no send stays in doubt."""
    matrix = Matrix(site, api, loopback, listener, talker, COMPANIES, Random(SEED), SHORT)
    damage = await matrix.run(20, between=(4, 8))

    assert set(damage.kills) == set(SHORT)


@pytest.mark.long
async def test_each_kind_of_crash(site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer) -> None:
    """All of them, each once at least."""
    matrix = Matrix(site, api, loopback, listener, talker, COMPANIES, Random(SEED))
    damage = await matrix.run(len(KINDS) * 12, between=(5, 12))

    assert set(damage.kills) == set(KINDS)
