"""Who owns a company: one lease a company, with an epoch that only grows and an expiry by the database's clock.

A holder counts its lease as lost ``ttl_s`` after the moment it *asked* for it, by its own monotonic clock: that is
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

# A row that somebody has locked is passed over: waiting for it would cost all other companies their leases.
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
    """A company's lease as it was granted; ``ttl_s`` counts from the moment it was asked for."""

    company_id: str
    owner: str
    epoch: int
    ttl_s: float


@final
class Owner(msgspec.Struct, frozen=True):
    """Who holds a lease that has not expired."""

    name: str
    """``<installation>/<host>-<boot>`` of a daemon."""
    left_s: float
    """Seconds until its end, if it is not renewed."""

    def is_another(self, owner: str) -> bool:
        """Whether ``owner`` must respect it: another installation holds it."""
        return installation_of(self.name) != installation_of(owner)


def installation_of(owner: str) -> str:
    """The part of an owner that stays the same from one boot to the next."""
    return owner.partition("/")[0]


def usable_s(ttl_s: float) -> float:
    """For how long a holder may use a lease from the moment it asked for it: the rest is for leaving WhatsApp before another may come."""
    return ttl_s * 5 / 6


@final
class Renewal(msgspec.Struct, frozen=True):
    """What became of leases that were asked for again."""

    renewed: frozenset[str]
    locked: frozenset[str]
    """Still ours, but somebody has locked their rows: not renewed, not lost. Ask again."""


async def acquire(connection: Connection, company_id: str, owner: str, ttl_s: float) -> Lease:
    """Take the company's lease for ``ttl_s`` seconds, or raise `LeaseHeld` when another installation's has not expired.

    An owner is ``<installation>/<host>-<boot>``: only one boot of an installation runs at a time, so the next need not wait
    for the last.

    The epoch is the same as before when ``owner`` still holds it, and greater than every earlier one otherwise.
    """
    epoch = await connection.fetchval(_ACQUIRE, company_id, owner, ttl_s)
    if epoch is None:
        holder = await connection.fetchrow(_HOLDER, company_id)
        assert holder is not None, "a lease row is never deleted"
        raise LeaseHeld(company_id, holder["owner"] or "nobody", max(0.0, holder["left_s"]))
    await connection.execute(_JOURNAL, company_id)
    return Lease(company_id, owner, epoch, ttl_s)


async def owner_of(reader: Reader, company_id: str) -> Owner | None:
    """Who holds the company's lease now; None when it is free."""
    row = await reader.fetchrow(_OWNER, company_id)
    return None if row is None else Owner(row["owner"], max(0.0, row["left_s"]))


async def refuse_another(reader: Reader, company_id: str, owner: str) -> Owner | None:
    """Raise `LeaseHeld` when another installation holds the company's lease. Returns who holds it otherwise."""
    found = await owner_of(reader, company_id)
    if found is not None and found.is_another(owner):
        raise LeaseHeld(company_id, found.name, found.left_s)
    return found


async def renew(connection: Connection, owner: str, company_ids: Collection[str], ttl_s: float) -> Renewal:
    """Extend the leases that ``owner`` still holds to ``ttl_s`` from now; what the answer names nowhere is lost to it.

    An expired lease is lost even if nobody took it since: `acquire` it again, with a new epoch.
    """
    asked = list(company_ids)
    renewed = frozenset(row["company_id"] for row in await connection.fetch(_RENEW, asked, owner, ttl_s))
    passed_over = [company_id for company_id in asked if company_id not in renewed]
    locked = await connection.fetch(_OURS, passed_over, owner)
    return Renewal(renewed, frozenset(row["company_id"] for row in locked))


async def release(connection: Connection, company_id: str, owner: str, epoch: int) -> None:
    """Give the lease up, so that another owner need not wait for its expiry: who listens for changes of ownership
    (storage.tables.ownership) hears of it. Nothing happens when it is not ours any more."""
    await connection.execute(_RELEASE, company_id, owner, epoch)
