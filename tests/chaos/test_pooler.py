"""A thousand sends of twenty companies through a PgBouncer in transaction mode."""

from __future__ import annotations

import pytest

from storage.embedded.server import EmbeddedPostgres
from tests.acceptance import pooled_sends
from tests.acceptance.peer import Peer
from tests.support.api import Api
from tests.support.pgbouncer import PgBouncer
from tests.support.site import Plan, Site, User

pytestmark = pytest.mark.chaos

COMPANIES = tuple(User(number) for number in range(1, 21))
EACH = 50
PLAN = Plan(
    companies=COMPANIES,
    others=(User(21),),
    settings={"RATE_LIMIT_MAX_REQUESTS": "100000"},
    has_own_database=True,
    has_pooler=True,
)


async def test_a_thousand_sends_of_twenty_companies(
    site: Site, api: Api, listener: Peer, database: EmbeddedPostgres, pooler: PgBouncer
) -> None:
    """All are answered 200, and none is lost when the daemon and the pooler are killed."""
    await pooled_sends.run(site, api, listener, database, pooler, COMPANIES, EACH)
