"""D1 at its full size: a hundred companies and a hundred readers."""

from __future__ import annotations

import pytest

from tests.acceptance.drain import Load, stop_under
from tests.acceptance.peer import Peer
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.site import Plan, Site, User

pytestmark = pytest.mark.chaos

COMPANIES = tuple(User(number) for number in range(1, 101))
PLAN = Plan(companies=COMPANIES, others=(User(198), User(199)), settings={"RATE_LIMIT_MAX_REQUESTS": "100000"})
LOAD = Load(companies=COMPANIES, senders=COMPANIES[:4], readers=100, dead_readers=10, askers=16)


async def test_d1_a_stop_under_full_load_loses_nothing(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer
) -> None:
    """As with few companies: exit status 0 in time, 1012 to every reader, nothing acknowledged lost, no process left."""
    print(await stop_under(LOAD, site, api, loopback, listener, talker))
