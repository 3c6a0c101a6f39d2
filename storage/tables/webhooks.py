"""Webhooks: endpoints that events are delivered to, and their settings. storage/tables/webhook_deliveries.py has their progress."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString, final

import msgspec
from msgspec import UNSET, UnsetType

from storage.database.connection import Connection, Reader, Row
from storage.tables.webhook_secrets import Secrets, new_secret, seal, unseal

# The view counts every dead letter; here only those count that the API key may see.
_OVERVIEW: LiteralString = """
    SELECT webhook_id, url, companies, types, enabled, description, created_at, updated_at, version, cursor, previous_until,
        delivered_at, failed_at, failure, suspended_until, behind,
        (SELECT count(*) FROM webhook_dead_letters dead
         WHERE dead.webhook_id = hook.webhook_id AND ($1::text[] IS NULL OR dead.company_id = ANY ($1))) AS dead_letters
    FROM webhook_overview hook WHERE webhook_is_visible(companies, $1)
"""
_LIST: LiteralString = _OVERVIEW + " AND webhook_id > $2 ORDER BY webhook_id LIMIT $3"
_COUNT: LiteralString = "SELECT count(*) FROM webhooks WHERE webhook_is_visible(companies, $1)"
_FIND: LiteralString = _OVERVIEW + " AND webhook_id = $2"
_LOCK: LiteralString = """
    SELECT secrets, kek_id FROM webhooks WHERE webhook_is_visible(companies, $1) AND webhook_id = $2 FOR UPDATE
"""
_TURN: LiteralString = "SELECT pg_advisory_xact_lock(7283190047)"
_TOTAL: LiteralString = "SELECT count(*) FROM webhooks"
_FULL: LiteralString = """
    SELECT company FROM unnest($2::text[]) AS company
    WHERE NOT EXISTS (SELECT FROM webhooks WHERE webhook_id = $1 AND company = ANY (companies))
        AND (SELECT count(*) FROM webhooks WHERE company = ANY (companies)) >= $3
    ORDER BY company LIMIT 1
"""
_CREATE: LiteralString = """
    INSERT INTO webhooks (webhook_id, url, companies, types, enabled, description, secrets, kek_id, cursor)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, last FROM whatsapp_event_counter
"""
_CHANGE: LiteralString = """
    UPDATE webhooks SET url = coalesce($2, url), enabled = coalesce($3, enabled), description = coalesce($4, description),
        companies = CASE WHEN $5 THEN $6::text[] ELSE companies END, types = CASE WHEN $7 THEN $8::text[] ELSE types END,
        version = version + 1, updated_at = now()
    WHERE webhook_id = $1
"""
# Letters of companies that it no longer serves are not sent again.
_KEEP_BACK: LiteralString = """
    UPDATE webhook_dead_letters dead SET replay_at = NULL FROM webhooks hook
    WHERE hook.webhook_id = $1 AND dead.webhook_id = $1 AND dead.replay_at IS NOT NULL
        AND hook.companies IS NOT NULL AND dead.company_id <> ALL (hook.companies)
"""
_ROTATE: LiteralString = """
    UPDATE webhooks SET secrets = $2, kek_id = $3, version = version + 1, updated_at = now(),
        previous_until = CASE WHEN $4::float8 IS NULL THEN NULL ELSE now() + make_interval(secs => $4) END
    WHERE webhook_id = $1
"""
_REMOVE: LiteralString = "DELETE FROM webhooks WHERE webhook_is_visible(companies, $1) AND webhook_id = $2"
_SECRETS: LiteralString = (
    "SELECT secrets, kek_id, previous_until > now() AS has_previous FROM webhooks WHERE webhook_id = $1"
)


@final
class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint, as every key with access to it sees it."""

    webhook_id: str
    url: str
    companies: tuple[str, ...] | None
    """None: all."""
    types: tuple[str, ...] | None
    """None: all."""
    enabled: bool
    description: str
    created_at: datetime
    updated_at: datetime
    version: int
    cursor: int
    previous_until: datetime | None
    """Until then deliveries are also signed with the secret before the current one."""
    delivered_at: datetime | None
    failed_at: datetime | None
    failure: str | None
    suspended_until: datetime | None
    """The circuit is open."""
    dead_letters: int
    behind: int
    """Events of the log after the cursor, whether the webhook gets them or not."""


@final
class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The changes to a webhook; UNSET stays as it is."""

    url: str | UnsetType = UNSET
    companies: Sequence[str] | UnsetType | None = UNSET
    types: Sequence[str] | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    description: str | UnsetType = UNSET


@final
class Limits(msgspec.Struct, frozen=True):
    """Limits on the number of webhooks."""

    in_all: int
    of_a_company: int


UNLIMITED: Final = Limits(2**31 - 1, 2**31 - 1)


class TooManyWebhooks(Exception):
    """One more would be above a limit; the text says which. Nothing was changed."""


async def create(connection: Connection, change: Change, *, secret: str | None, limits: Limits) -> tuple[str, str]:
    """Create a webhook that gets events from now on. Return its id and its secret. Raises `TooManyWebhooks`."""
    await connection.fetchval(_TURN)
    total: int = await connection.fetchval(_TOTAL)
    if total >= limits.in_all:
        raise TooManyWebhooks(f"there are {total} webhooks, and {limits.in_all} may be made with such a key")
    await _check_companies(connection, "", change, limits)
    webhook_id = f"wh_{secrets.token_hex(8)}"
    secret = secret or new_secret()
    sealed, kek_id = seal(connection.vault, webhook_id, Secrets(secret))
    given: dict[str, Any] = msgspec.structs.asdict(change)
    companies, types = (_array(given[name]) for name in ("companies", "types"))
    enabled, description = change.enabled is not False, change.description or ""
    await connection.execute(_CREATE, webhook_id, change.url, companies, types, enabled, description, sealed, kek_id)
    return webhook_id, secret


async def list_page(
    reader: Reader, only: Collection[str] | None, *, after: str = "", limit: int = 100
) -> tuple[int, list[Webhook]]:
    """Return how many webhooks a key for ``only`` these companies sees (None: all), and a page of them by id."""
    array = _array(only)
    count: int = await reader.fetchval(_COUNT, array)
    return count, [_webhook(row) for row in await reader.fetch(_LIST, array, after, limit)]


async def find(reader: Reader, only: Collection[str] | None, webhook_id: str) -> Webhook | None:
    """Return one webhook; None when there is none or the key may not see it."""
    row = await reader.fetchrow(_FIND, _array(only), webhook_id)
    return None if row is None else _webhook(row)


async def change(
    connection: Connection, only: Collection[str] | None, webhook_id: str, what: Change, limits: Limits = UNLIMITED
) -> bool:
    """Change a webhook; its cursor stays. Return False when there is none that the key may see. Raises `TooManyWebhooks`."""
    await connection.fetchval(_TURN)
    if await connection.fetchrow(_LOCK, _array(only), webhook_id) is None:
        return False
    await _check_companies(connection, webhook_id, what, limits)
    await connection.execute(
        _CHANGE,
        webhook_id,
        *(None if value is UNSET else value for value in (what.url, what.enabled, what.description)),
        what.companies is not UNSET,
        _array(what.companies),
        what.types is not UNSET,
        _array(what.types),
    )
    await connection.execute(_KEEP_BACK, webhook_id)
    return True


async def rotate(
    connection: Connection, only: Collection[str] | None, webhook_id: str, *, secret: str | None, overlap_s: float
) -> str | None:
    """Give a webhook a new secret and return it; the present one stays valid for ``overlap_s``. Return None where
    `change` returns False."""
    row = await connection.fetchrow(_LOCK, _array(only), webhook_id)
    if row is None:
        return None
    new = secret or new_secret()
    present = unseal(connection.vault, webhook_id, row["secrets"], row["kek_id"])
    sealed, kek_id = seal(connection.vault, webhook_id, Secrets(new, present.current if overlap_s > 0 else None))
    await connection.execute(_ROTATE, webhook_id, sealed, kek_id, overlap_s if overlap_s > 0 else None)
    return new


async def retire_previous(connection: Connection, only: Collection[str] | None, webhook_id: str) -> bool:
    """Sign with the current secret only, from now on. Return False as `change` does."""
    row = await connection.fetchrow(_LOCK, _array(only), webhook_id)
    if row is None:
        return False
    present = unseal(connection.vault, webhook_id, row["secrets"], row["kek_id"])
    sealed, kek_id = seal(connection.vault, webhook_id, Secrets(present.current))
    await connection.execute(_ROTATE, webhook_id, sealed, kek_id, None)
    return True


async def remove(connection: Connection, only: Collection[str] | None, webhook_id: str) -> bool:
    """Remove a webhook with its dead letters. Return False as `change` does."""
    return await connection.execute(_REMOVE, _array(only), webhook_id) == "DELETE 1"


async def valid_secrets(reader: Reader, webhook_id: str) -> Secrets | None:
    """Return the secrets that sign deliveries now; None when there is no such webhook."""
    row = await reader.fetchrow(_SECRETS, webhook_id)
    if row is None:
        return None
    found = unseal(reader.vault, webhook_id, row["secrets"], row["kek_id"])
    return found if row["has_previous"] else Secrets(found.current)


async def _check_companies(connection: Connection, webhook_id: str, what: Change, limits: Limits) -> None:
    """Raise `TooManyWebhooks` when a company that the change adds already has its limit of webhooks."""
    full = await connection.fetchval(_FULL, webhook_id, _array(what.companies), limits.of_a_company)
    if full is not None:
        raise TooManyWebhooks(f"the company {full} has {limits.of_a_company} webhooks or more")


def _webhook(row: Row) -> Webhook:
    values: dict[str, Any] = {name: row[name] for name in Webhook.__struct_fields__}
    for name in ("companies", "types"):
        values[name] = None if values[name] is None else tuple(values[name])
    return Webhook(**values)


def _array(values: Collection[str] | UnsetType | None) -> list[str] | None:
    return None if values is None or values is UNSET else sorted(set(values))
