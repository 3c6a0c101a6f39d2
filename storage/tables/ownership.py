"""Commands for a company that another daemon may own, and what daemons on one database must know of each other.

A command is carried out under the company's lease, or refused with `LeaseHeld` and nothing changed. Commands and
take-overs lock the company's record first and its lease second, and read each again once it is locked, so that two at
the same moment run one after the other.
"""

from __future__ import annotations

from typing import Final, LiteralString, final

import msgspec

from storage.database.connection import Connection, Reader
from storage.tables import archive, companies, leases, removal
from storage.tables.companies import Desired
from storage.tables.leases import Lease

CHANNEL: Final = "wasup_ownership"
"""Notified, with an empty payload, when a lease was released and when a record changed (`leases.release`, `companies`)."""

# A sum does not depend on the order of rows, so nothing has to be sorted; a commit that becomes visible late changes it
# too.
_DIGEST: LiteralString = """
    SELECT count(*) || ':' || coalesce(sum(hashtextextended(company_id || '/' || desired, 0)::numeric), 0) FROM whatsapp_companies
"""
_FREE: LiteralString = """
    SELECT company.company_id, EXISTS (SELECT FROM whatsapp_auth auth WHERE auth.company_id = company.company_id) AS is_linked
    FROM whatsapp_companies company LEFT JOIN whatsapp_leases lease ON lease.company_id = company.company_id
    WHERE company.desired = 'running' AND (lease.owner IS NULL OR lease.expires_at <= now())
"""
_IS_LINKED: LiteralString = "SELECT EXISTS (SELECT FROM whatsapp_auth WHERE company_id = $1)"


@final
class NotWanted(msgspec.Struct, frozen=True):
    """A company that must not be taken up."""

    desired: Desired | None
    """`stopped`; None: there is no such company any more."""


@final
class Survey(msgspec.Struct, frozen=True):
    """What a daemon looks up every second."""

    digest: str
    """Of all records: it changes when a company is added, removed, started or stopped."""
    free: dict[str, bool]
    """The companies that are to run and have no owner, each with whether it is linked."""


async def survey(reader: Reader) -> Survey:
    """Return the digest of all records and the free companies, in two short statements."""
    digest: str = await reader.fetchval(_DIGEST)
    return Survey(digest, {row["company_id"]: row["is_linked"] for row in await reader.fetch(_FREE)})


async def is_linked(reader: Reader, company_id: str) -> bool:
    """Return whether credentials of the company are stored, readable or not."""
    found: bool = await reader.fetchval(_IS_LINKED, company_id)
    return found


async def take_up(connection: Connection, company_id: str, owner: str, ttl_s: float) -> Lease | NotWanted:
    """Take the lease to run the company, if its record says that it is to run. Raises `LeaseHeld`."""
    desired = await companies.wanted(connection, company_id)
    if desired != "running":
        return NotWanted(desired)
    return await leases.acquire(connection, company_id, owner, ttl_s)


async def claim(connection: Connection, company_id: str, owner: str, ttl_s: float, desired: Desired) -> Lease:
    """Take the lease and record the company as ``desired``, creating the record when there is none. Raises `LeaseHeld`."""
    await leases.refuse_another(connection, company_id, owner)
    await companies.ensure(connection, company_id, desired)
    await companies.lock(connection, company_id)
    lease = await leases.acquire(connection, company_id, owner, ttl_s)
    await companies.set_desired(connection, company_id, desired)
    return lease


async def record_stop(connection: Connection, company_id: str, owner: str) -> None:
    """Record that the company is to be stopped, without taking its lease. Raises `LeaseHeld`."""
    await companies.lock(connection, company_id)
    await leases.refuse_another(connection, company_id, owner)
    await companies.set_desired(connection, company_id, "stopped")


async def forget(
    connection: Connection, company_id: str, owner: str, ttl_s: float, reason: str, *, give_back: bool
) -> None:
    """Archive the auth state, remove the record, and take the company from keys and webhooks, under the lease. Raises `LeaseHeld`.

    ``give_back``: release the lease even when it was held before. Otherwise it expires, and until then keeps others
    from a company that may not have left WhatsApp yet.
    """
    await companies.lock(connection, company_id)
    await archive_owned(connection, company_id, owner, ttl_s, reason, give_back=give_back)
    await companies.remove(connection, company_id)
    await removal.begin(connection, company_id)


async def archive_owned(
    connection: Connection, company_id: str, owner: str, ttl_s: float, reason: str, *, give_back: bool = False
) -> None:
    """Archive the auth state under the lease, which is taken for it when it is free. Raises `LeaseHeld`."""
    was_held = await leases.refuse_another(connection, company_id, owner) is not None
    lease = await leases.acquire(connection, company_id, owner, ttl_s)
    await archive.archive(connection, company_id, reason, owner=owner, epoch=lease.epoch)
    if give_back or not was_held:
        await leases.release(connection, company_id, owner, lease.epoch)
