"""The store of webhooks in Postgres."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import final

from storage.database.pool import Database
from storage.tables import webhook_dead_letters, webhooks
from storage.tables.webhook_dead_letters import ListedLetter
from storage.tables.webhook_secrets import Secrets
from storage.tables.webhooks import Change, Limits, Webhook


@final
class DatabaseWebhooks:
    """Webhooks in ``webhooks`` (storage/tables/webhooks.py has the contracts)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, change: Change, secret: str | None, limits: Limits) -> tuple[str, str]:
        """Create a webhook; return its id and secret."""
        return await self._database.write(partial(webhooks.create, secret=secret, limits=limits), change)

    async def page(self, only: Collection[str] | None, after: str, limit: int) -> tuple[int, list[Webhook]]:
        """Return how many there are, and a page."""
        return await webhooks.list_page(self._database, only, after=after, limit=limit)

    async def find(self, only: Collection[str] | None, webhook_id: str) -> Webhook | None:
        """Return one webhook."""
        return await webhooks.find(self._database, only, webhook_id)

    async def change(self, only: Collection[str] | None, webhook_id: str, change: Change, limits: Limits) -> bool:
        """Change one webhook; return whether it exists."""
        return await self._database.write(webhooks.change, only, webhook_id, change, limits)

    async def rotate(
        self, only: Collection[str] | None, webhook_id: str, secret: str | None, overlap_s: float
    ) -> str | None:
        """Start to sign with a new secret; return it."""
        write = partial(webhooks.rotate, secret=secret, overlap_s=overlap_s)
        return await self._database.write(write, only, webhook_id)

    async def retire_previous(self, only: Collection[str] | None, webhook_id: str) -> bool:
        """Sign with the current secret only."""
        return await self._database.write(webhooks.retire_previous, only, webhook_id)

    async def remove(self, only: Collection[str] | None, webhook_id: str) -> bool:
        """Remove one webhook; return whether it existed."""
        return await self._database.write(webhooks.remove, only, webhook_id)

    async def secrets(self, webhook_id: str) -> Secrets | None:
        """Return the secrets to sign with now."""
        return await webhooks.valid_secrets(self._database, webhook_id)

    async def letters(
        self, only: Collection[str] | None, webhook_id: str, after: int, limit: int
    ) -> list[ListedLetter]:
        """Return a page of dead letters."""
        return await webhook_dead_letters.list_page(self._database, only, webhook_id, after=after, limit=limit)

    async def replay(self, only: Collection[str] | None, webhook_id: str, event_ids: Collection[str] | None) -> int:
        """Mark dead letters to be sent again; return how many."""
        return await self._database.write(webhook_dead_letters.ask_for_replay, only, webhook_id, event_ids)

    async def discard(self, only: Collection[str] | None, webhook_id: str, event_ids: Collection[str] | None) -> int:
        """Remove dead letters; return how many."""
        return await self._database.write(webhook_dead_letters.discard, only, webhook_id, event_ids)
