"""Progress of webhooks: who delivers, the cursor, what is tried again, what was given up.

One daemon at a time delivers to a webhook, the one that holds its lease: owner and expiry in its row. Every write of a
holder checks owner and epoch, and writes nothing once the lease is another's. A holder counts its lease from the moment
of its request, as with companies' leases, and an owner is ``<installation>/<boot>`` as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import LiteralString, final

import msgspec

from storage.database.connection import Connection, Reader
from storage.database.pool import Database
from storage.tables.webhook_secrets import Secrets, unseal

_RENEW: LiteralString = """
    WITH ours AS (
        SELECT webhook_id FROM webhooks
        WHERE lease_owner = $1 AND lease_expires_at > now() AND lease_expires_at < now() + make_interval(secs => $2 * 2 / 3)
        ORDER BY webhook_id FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE webhooks hook SET lease_expires_at = now() + make_interval(secs => $2) FROM ours WHERE hook.webhook_id = ours.webhook_id
"""
_SURVEY: LiteralString = """
    SELECT webhook_id, version,
        CASE WHEN lease_owner = $1 AND lease_expires_at > now() THEN extract(epoch FROM lease_expires_at - now())::float8 END AS left_s,
        EXISTS (SELECT FROM webhook_dead_letters dead WHERE dead.webhook_id = hook.webhook_id AND replay_at IS NOT NULL) AS has_replays
    FROM webhooks hook
    WHERE enabled AND (lease_owner IS NULL OR lease_expires_at <= now() OR split_part(lease_owner, '/', 1) = split_part($1, '/', 1))
    ORDER BY webhook_id LIMIT $2
"""
_ACQUIRE: LiteralString = """
    UPDATE webhooks SET lease_owner = $2, lease_expires_at = now() + make_interval(secs => $3),
        lease_epoch = lease_epoch + CASE WHEN lease_owner = $2 AND lease_expires_at > now() THEN 0 ELSE 1 END
    WHERE webhook_id = $1 AND enabled
        AND (lease_owner IS NULL OR lease_expires_at <= now() OR split_part(lease_owner, '/', 1) = split_part($2, '/', 1))
    RETURNING url, companies, types, secrets, kek_id, version, cursor, lease_epoch,
        CASE WHEN previous_until > now() THEN extract(epoch FROM previous_until - now())::float8 END AS previous_left_s
"""
_RETRIES: LiteralString = "SELECT seq, attempts FROM webhook_retries WHERE webhook_id = $1 AND seq > $2"
_FORGOTTEN: LiteralString = "SELECT coalesce(min(seq), $1 + 1) - $1 - 1 FROM whatsapp_events"
_RELEASE: LiteralString = """
    UPDATE webhooks SET lease_owner = NULL, lease_expires_at = NULL WHERE webhook_id = $1 AND lease_owner = $2 AND lease_epoch = $3
"""
# A holder that does not yet know of a widened webhook must not pass over events that the webhook did not get before.
_SAVE: LiteralString = """
    UPDATE webhooks SET delivered_at = coalesce($5, delivered_at),
        failed_at = coalesce($6, failed_at), failure = coalesce($7, failure),
        suspended_until = CASE WHEN $8::float8 IS NULL THEN NULL ELSE now() + make_interval(secs => $8) END,
        cursor = CASE WHEN companies IS NOT DISTINCT FROM $9::text[] AND types IS NOT DISTINCT FROM $10::text[]
            THEN greatest(cursor, $4) ELSE cursor END
    WHERE webhook_id = $1 AND lease_owner = $2 AND lease_epoch = $3
"""
_HOLD: LiteralString = """
    SELECT 1 FROM webhooks WHERE webhook_id = $1 AND lease_owner = $2 AND lease_epoch = $3 FOR SHARE
"""
_TRIED: LiteralString = """
    INSERT INTO webhook_retries (webhook_id, seq, attempts)
    SELECT $1, seq, attempts FROM unnest($2::bigint[], $3::int[]) AS t (seq, attempts)
    ON CONFLICT (webhook_id, seq) DO UPDATE SET attempts = excluded.attempts
"""
_SETTLED: LiteralString = "DELETE FROM webhook_retries WHERE webhook_id = $1 AND (seq <= $2 OR seq = ANY ($3))"
_BURY: LiteralString = """
    INSERT INTO webhook_dead_letters (webhook_id, seq, event_id, type, company_id, body, attempts, failure, status)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 FROM webhooks
    WHERE webhook_id = $1 AND (companies IS NULL OR $5 = ANY (companies))
    ON CONFLICT (webhook_id, seq) DO UPDATE SET attempts = excluded.attempts, failure = excluded.failure, status = excluded.status,
        died_at = now(), replay_at = NULL
"""
_REPLAYS: LiteralString = """
    SELECT seq, event_id, type, company_id, body, attempts, dead.failure, status
    FROM webhook_dead_letters dead JOIN webhooks hook USING (webhook_id)
    WHERE webhook_id = $1 AND version = $2 AND (companies IS NULL OR company_id = ANY (companies)) AND replay_at IS NOT NULL AND seq > $3
    ORDER BY seq LIMIT $4
"""
_RISE: LiteralString = "DELETE FROM webhook_dead_letters WHERE webhook_id = $1 AND seq = $2"


@final
class Candidate(msgspec.Struct, frozen=True):
    """A webhook that this daemon delivers to, or may begin to."""

    webhook_id: str
    version: int
    left_s: float | None
    """Seconds left of our lease; None: the webhook has no holder at present."""
    has_replays: bool


@final
class Survey(msgspec.Struct, frozen=True):
    """The webhooks with work to do, and the last event of the log."""

    candidates: tuple[Candidate, ...]
    last_seq: int


@final
class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook whose lease is ours, with what delivering to it takes."""

    webhook_id: str
    owner: str
    epoch: int
    url: str
    companies: frozenset[str] | None
    types: frozenset[str] | None
    secrets: Secrets
    previous_left_s: float
    """For how long the secret before the current one stays valid."""
    version: int
    cursor: int
    retries: Mapping[int, int]
    """Attempts so far of events after the cursor, by seq."""
    forgotten: int
    """Events after the cursor that are no longer in the log."""


@final
class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was given up."""

    seq: int
    event_id: str
    type: str
    company_id: str
    body: bytes
    """JSON as it was sent."""
    attempts: int
    failure: str
    status: int | None
    """The HTTP status of the endpoint's response, if there was one."""


@final
class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of a webhook since the last save; None: nothing new."""

    cursor: int
    delivered_at: datetime | None = None
    failed_at: datetime | None = None
    failure: str | None = None
    suspended_s: float | None = None
    """The circuit is open for this long; None: it is closed."""
    tried: Mapping[int, int]
    """Attempts so far, by seq, for the events where they changed."""
    settled: Sequence[int] = ()
    """Events above the cursor that failed before and are delivered now."""


async def survey(connection: Connection, owner: str, ttl_s: float, most: int) -> Survey:
    """Renew our leases that are close to their end, and return the webhooks with work to do."""
    await connection.execute(_RENEW, owner, ttl_s)
    rows = await connection.fetch(_SURVEY, owner, most)
    last: int = await connection.fetchval("SELECT last FROM whatsapp_event_counter")
    found = (Candidate(row["webhook_id"], row["version"], row["left_s"], row["has_replays"]) for row in rows)
    return Survey(tuple(found), last)


async def acquire(connection: Connection, webhook_id: str, owner: str, ttl_s: float) -> Held | None:
    """Take the webhook's lease for ``ttl_s``; None when it is gone, disabled, or another installation's."""
    row = await connection.fetchrow(_ACQUIRE, webhook_id, owner, ttl_s)
    if row is None:
        return None
    retries = await connection.fetch(_RETRIES, webhook_id, row["cursor"])
    return Held(
        webhook_id=webhook_id,
        owner=owner,
        epoch=row["lease_epoch"],
        url=row["url"],
        companies=None if row["companies"] is None else frozenset(row["companies"]),
        types=None if row["types"] is None else frozenset(row["types"]),
        secrets=unseal(connection.vault, webhook_id, row["secrets"], row["kek_id"]),
        previous_left_s=row["previous_left_s"] or 0.0,
        version=row["version"],
        cursor=row["cursor"],
        retries={each["seq"]: each["attempts"] for each in retries},
        forgotten=max(0, await connection.fetchval(_FORGOTTEN, row["cursor"])),
    )


async def save(connection: Connection, held: Held, progress: Progress) -> bool:
    """Save the progress. Return False, with nothing written, when the lease is no longer ours.

    The cursor stays when the webhook now serves other companies or types than when its lease was taken.
    """
    written = await connection.execute(
        _SAVE,
        *(held.webhook_id, held.owner, held.epoch, progress.cursor),
        *(progress.delivered_at, progress.failed_at, progress.failure, progress.suspended_s),
        *(None if chosen is None else sorted(chosen) for chosen in (held.companies, held.types)),
    )
    if written != "UPDATE 1":
        return False
    await connection.execute(_SETTLED, held.webhook_id, progress.cursor, list(progress.settled))
    tried = {seq: attempts for seq, attempts in progress.tried.items() if seq > progress.cursor}
    if tried:
        await connection.execute(_TRIED, held.webhook_id, list(tried), list(tried.values()))
    return True


async def bury(connection: Connection, held: Held, letter: DeadLetter) -> bool:
    """Give an event up; return False as `save` does. Keeps nothing of a company that the webhook no longer serves."""
    if await connection.fetchval(_HOLD, held.webhook_id, held.owner, held.epoch) is None:
        return False
    values = [getattr(letter, name) for name in DeadLetter.__struct_fields__]
    await connection.execute(_BURY, held.webhook_id, *values)
    return True


async def raise_from_dead(connection: Connection, held: Held, seq: int) -> bool:
    """Delete a dead letter that was delivered after all; return False as `save` does."""
    if await connection.fetchval(_HOLD, held.webhook_id, held.owner, held.epoch) is None:
        return False
    await connection.execute(_RISE, held.webhook_id, seq)
    return True


async def replays(reader: Reader, held: Held, *, after: int, limit: int) -> list[DeadLetter]:
    """Return dead letters that are to be sent again, by seq; none once the webhook has changed since its lease was
    taken, since URL and companies belong together."""
    rows = await reader.fetch(_REPLAYS, held.webhook_id, held.version, after, limit)
    return [DeadLetter(**{name: row[name] for name in DeadLetter.__struct_fields__}) for row in rows]


async def release(database: Database, held: Held) -> None:
    """Release the lease, so that another daemon need not wait for its end."""
    await database.write(_release, held)


async def _release(connection: Connection, held: Held) -> None:
    await connection.execute(_RELEASE, held.webhook_id, held.owner, held.epoch)
