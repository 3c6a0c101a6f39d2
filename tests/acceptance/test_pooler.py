"""A daemon that reaches Postgres through a PgBouncer in transaction mode; the full size is in tests/chaos/test_pooler.py."""

from __future__ import annotations

from storage.embedded.server import EmbeddedPostgres
from tests.acceptance import pooled_sends
from tests.acceptance.peer import Peer
from tests.support.api import Api
from tests.support.pgbouncer import PgBouncer
from tests.support.site import Plan, Site, User

COMPANIES = tuple(User(number) for number in range(1, 4))
PLAN = Plan(
    companies=COMPANIES,
    others=(User(4),),
    settings={"RATE_LIMIT_MAX_REQUESTS": "100000"},
    has_own_database=True,
    has_pooler=True,
)


async def test_nothing_is_lost_behind_a_pooler(
    site: Site, api: Api, listener: Peer, database: EmbeddedPostgres, pooler: PgBouncer
) -> None:
    """Every send gets 200 and arrives once, before and after the daemon and the pooler were killed."""
    await pooled_sends.run(site, api, listener, database, pooler, COMPANIES, 20)
