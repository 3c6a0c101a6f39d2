"""Ownership of companies: one lease a company, with an epoch that only grows and an expiry by the database's clock.

A holder counts its lease as lost ``ttl_s`` after the moment it *requested* it, by its own monotonic clock: that is
never later than the expiry stored here. Every write of the company's state checks owner and epoch in its own
transaction (`auth_state.commit_deltas`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import LiteralString, final

import msgspec

from storage.database.connection import Connection, Reader
from storage.errors import LeaseHeld

_ACQUIRE: LiteralString = """
    INSERT INTO whatsapp_leases AS lease (company_id, owner, epoch, acquired_at, expires_at)
    VALUES ($1, $2, 1, now(), now() + make_interval(secs => $3))
    ON CONFLICT (company_id) DO UPDATE SET
        owner = excluded.owner,
        epoch = lease.epoch + CASE WHEN lease.owner = excluded.owner AND lease.expires_at > now() THEN 0 ELSE 1 END,
        acquired_at = now(),
        expires_at = excluded.expires_at
    WHERE lease.owner IS NULL OR lease.expires_at <= now() OR split_part(lease.owner, '/', 1) = split_part(excluded.owner, '/', 1)
    RETURNING epoch
"""

_HOLDER: LiteralString = """
    SELECT owner, extract(epoch FROM expires_at - clock_timestamp())::float8 AS left_s
    FROM whatsapp_leases WHERE company_id = $1
"""

_OWNER: LiteralString = """
    SELECT owner, extract(epoch FROM expires_at - clock_timestamp())::float8 AS left_s
    FROM whatsapp_leases WHERE company_id = $1 AND owner IS NOT NULL AND expires_at > now()
"""

_JOURNAL: LiteralString = "INSERT INTO whatsapp_journal (company_id) VALUES ($1) ON CONFLICT DO NOTHING"

# Locked rows are skipped: waiting for one would cost all other companies their leases.
_RENEW: LiteralString = """
    WITH ours AS (
        SELECT company_id FROM whatsapp_leases
        WHERE company_id = ANY ($1) AND owner = $2 AND expires_at > now()
        ORDER BY company_id FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE whatsapp_leases lease SET expires_at = now() + make_interval(secs => $3)
    FROM ours WHERE lease.company_id = ours.company_id
    RETURNING lease.company_id
"""

_OURS: LiteralString = """
    SELECT company_id FROM whatsapp_leases WHERE company_id = ANY ($1) AND owner = $2 AND expires_at > now()
"""

_RELEASE: LiteralString = """
    UPDATE whatsapp_leases SET owner = NULL, expires_at = now() WHERE company_id = $1 AND owner = $2 AND epoch = $3
    RETURNING pg_notify('wasup_ownership', '')
"""


@final
class Lease(msgspec.Struct, frozen=True):
    """A company's lease as it was granted; ``ttl_s`` counts from the moment of the request."""

    company_id: str
    owner: str
    epoch: int
    ttl_s: float


@final
class Owner(msgspec.Struct, frozen=True):
    """The holder of a lease that has not expired."""

    name: str
    """``<installation>/<host>-<boot>`` of a daemon."""
    left_s: float
    """Seconds until its end, unless it is renewed."""

    def is_another(self, owner: str) -> bool:
        """Whether another installation than ``owner``'s holds it, so that ``owner`` must not act."""
        return installation_of(self.name) != installation_of(owner)


def installation_of(owner: str) -> str:
    """Return the part of an owner's name that stays the same from one boot to the next."""
    return owner.partition("/")[0]


def usable_s(ttl_s: float) -> float:
    """Return for how long after its request a holder may use a lease. The rest is time to leave WhatsApp before another owner may come."""
    return ttl_s * 5 / 6


@final
class Renewal(msgspec.Struct, frozen=True):
    """The result of renewing leases."""

    renewed: frozenset[str]
    locked: frozenset[str]
    """Still ours, but their rows were locked: neither renewed nor lost. Renew them again."""


async def acquire(connection: Connection, company_id: str, owner: str, ttl_s: float) -> Lease:
    """Take the company's lease for ``ttl_s`` seconds, or raise `LeaseHeld` when another installation's has not expired.

    An owner is ``<installation>/<host>-<boot>``. Only one boot of an installation runs at a time, so the next need not
    wait for the last one's lease to expire.

    The epoch stays the same when ``owner`` still holds the lease; otherwise it is greater than every earlier one.
    """
    epoch = await connection.fetchval(_ACQUIRE, company_id, owner, ttl_s)
    if epoch is None:
        holder = await connection.fetchrow(_HOLDER, company_id)
        assert holder is not None, "a lease row is never deleted"
        raise LeaseHeld(company_id, holder["owner"] or "nobody", max(0.0, holder["left_s"]))
    await connection.execute(_JOURNAL, company_id)
    return Lease(company_id, owner, epoch, ttl_s)


async def owner_of(reader: Reader, company_id: str) -> Owner | None:
    """Return the present holder of the company's lease; None when it is free."""
    row = await reader.fetchrow(_OWNER, company_id)
    return None if row is None else Owner(row["owner"], max(0.0, row["left_s"]))


async def refuse_another(reader: Reader, company_id: str, owner: str) -> Owner | None:
    """Raise `LeaseHeld` when another installation holds the company's lease. Otherwise return the holder."""
    found = await owner_of(reader, company_id)
    if found is not None and found.is_another(owner):
        raise LeaseHeld(company_id, found.name, found.left_s)
    return found


async def renew(connection: Connection, owner: str, company_ids: Collection[str], ttl_s: float) -> Renewal:
    """Extend the leases that ``owner`` still holds to ``ttl_s`` from now. A company in neither set of the result is lost to the owner.

    An expired lease is lost even if it was never taken since: `acquire` it again, with a new epoch.
    """
    asked = list(company_ids)
    renewed = frozenset(row["company_id"] for row in await connection.fetch(_RENEW, asked, owner, ttl_s))
    passed_over = [company_id for company_id in asked if company_id not in renewed]
    locked = await connection.fetch(_OURS, passed_over, owner)
    return Renewal(renewed, frozenset(row["company_id"] for row in locked))


async def release(connection: Connection, company_id: str, owner: str, epoch: int) -> None:
    """Give the lease up, so that another owner need not wait for its expiry, and notify listeners for changes of
    ownership (storage.tables.ownership). Does nothing when the lease is no longer ours."""
    await connection.execute(_RELEASE, company_id, owner, epoch)
