"""Requests made under an idempotency key. Each is claimed before it is carried out and kept with its response
afterwards, so that a repeated request gets the first response and is never carried out twice."""

from __future__ import annotations

from typing import Final, LiteralString, final

import msgspec

from storage.database.batches import BATCH_ROWS, count_of, in_batches
from storage.database.connection import Connection, Reader
from storage.database.pool import Database

KEEP_S: Final = 24 * 3600.0

_FIND: LiteralString = """
    SELECT request_digest, response, claim, owner, extract(epoch FROM now() - created_at)::float8 AS age_s
    FROM idempotency WHERE company_id = $1 AND key = $2 AND expires_at > now()
"""
# Two records give way: an expired one that has not been swept yet, and a claim whose maker knows that it had no effect.
# A claim whose commit was in doubt may be made again.
_CLAIM: LiteralString = """
    INSERT INTO idempotency AS kept (company_id, key, request_digest, claim, owner, expires_at)
    VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
    ON CONFLICT (company_id, key) DO UPDATE SET request_digest = excluded.request_digest, response = NULL,
        claim = excluded.claim, owner = excluded.owner, created_at = now(), expires_at = excluded.expires_at
    WHERE kept.expires_at <= now() OR (kept.response IS NULL AND kept.claim IN ($4, $7))
"""
_SETTLE: LiteralString = """
    UPDATE idempotency SET response = $4 WHERE company_id = $1 AND key = $2 AND claim = $3 AND response IS NULL
"""
_RELEASE: LiteralString = """
    DELETE FROM idempotency WHERE company_id = $1 AND key = $2 AND claim = $3 AND response IS NULL
"""
_PRUNE: LiteralString = """
    DELETE FROM idempotency WHERE (company_id, key) IN (
        SELECT company_id, key FROM idempotency WHERE expires_at <= now() ORDER BY expires_at LIMIT $1
    )
"""


@final
class Kept(msgspec.Struct, frozen=True):
    """What is known of the request made under a key."""

    request_digest: bytes
    response: bytes | None
    """JSON; None: the request was begun, and its result is not recorded."""
    claim: str | None
    """The id of the attempt that was begun."""
    owner: str | None
    """The daemon that began it."""
    age_s: float
    """Seconds since it was begun."""


async def find(reader: Reader, company_id: str, key: str) -> Kept | None:
    """Return what is kept under the company's key, None when there is nothing or it has expired."""
    row = await reader.fetchrow(_FIND, company_id, key)
    if row is None:
        return None
    return Kept(row["request_digest"], row["response"], row["claim"], row["owner"], row["age_s"])


async def claim(
    connection: Connection,
    company_id: str,
    key: str,
    request_digest: bytes,
    *,
    claim: str,
    owner: str,
    replaces: str | None = None,
    keep_s: float = KEEP_S,
) -> bool:
    """Record, for ``keep_s`` seconds, that ``owner`` is about to carry out the request in the attempt ``claim``.

    Return False, with nothing changed, when something is kept under this key already, unless that is the claim
    ``replaces``.
    """
    tag = await connection.execute(_CLAIM, company_id, key, request_digest, claim, owner, keep_s, replaces)
    return tag == "INSERT 0 1"


async def settle(connection: Connection, company_id: str, key: str, claim: str, response: bytes) -> bool:
    """Keep the response (JSON) of this attempt. Return False when the claim is gone or settled already."""
    return await connection.execute(_SETTLE, company_id, key, claim, response) == "UPDATE 1"


async def release(connection: Connection, company_id: str, key: str, claim: str) -> bool:
    """Free the key: this attempt has certainly had no effect. Return False when the claim is gone."""
    return await connection.execute(_RELEASE, company_id, key, claim) == "DELETE 1"


async def prune(db: Database, *, batch: int = BATCH_ROWS) -> int:
    """Delete expired records, ``batch`` a transaction, and return how many."""
    return await in_batches(db, _prune_batch, batch)


async def _prune_batch(connection: Connection, batch: int) -> int:
    return count_of(await connection.execute(_PRUNE, batch))
