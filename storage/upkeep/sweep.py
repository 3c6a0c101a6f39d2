"""The regular clean-up: expired keys, old events, idempotency records, dead letters, archived credentials, and files
that WhatsApp has deleted meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import LiteralString, final

import msgspec

from config.sections import WebhookSettings
from storage.database.pool import Database
from storage.tables import archive, events, idempotency, media, media_keys, removal, webhook_dead_letters
from storage.tables.expiry import sweep_keys

_EXPIRED: LiteralString = "SELECT count(*) FROM whatsapp_keys WHERE expires_at <= now()"


@final
class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What one sweep removed, and how many keys it extended because a running session needs them."""

    keys: int
    events: int
    idempotency: int
    media: int = 0
    archives: int = 0
    sealed_files: int = 0
    """Not removed: keys of files that had been stored plain and are now sealed."""
    refreshed: int
    dead_letters: int
    erased: int = 0
    """Late rows of removed companies."""


def _unheard(_done: int, _of: int) -> None:
    """Ignore the progress."""


async def sweep(
    db: Database,
    *,
    keep_events_s: float,
    keep_archives_s: float,
    webhooks: WebhookSettings,
    batch_rows: int = 1000,
    progress: Callable[[int, int], None] = _unheard,
) -> Swept:
    """Remove what has expired, ``batch_rows`` a transaction. ``progress`` counts the keys only, by far the most."""
    total: int = await db.fetchval(_EXPIRED)
    done = 0

    def add(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done, max(total, done))

    keys = await sweep_keys(db, batch_rows, progress=add)
    forgotten = await media.prune(db, batch=batch_rows)
    await media_keys.prune(db, batch=batch_rows)
    return Swept(
        keys=keys.deleted,
        refreshed=keys.refreshed,
        events=await events.prune(db, keep_events_s, batch=batch_rows),
        idempotency=await idempotency.prune(db, batch=batch_rows),
        dead_letters=await webhook_dead_letters.prune(
            db, webhooks.dead_letter_retention_s, webhooks.max_dead_letters, batch=batch_rows
        ),
        media=forgotten,
        erased=await removal.sweep(db, batch=batch_rows),
        archives=await archive.prune(db, keep_archives_s, batch=batch_rows),
        sealed_files=(await media_keys.seal_plain(db))[0] if db.vault.is_sealing else 0,
    )
