"""Webhooks in memory, for routes that are tested without a database; tests/http/routes/test_webhooks.py runs against both stores."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import UNSET

from storage.tables.webhook_dead_letters import ListedLetter
from storage.tables.webhook_secrets import Secrets, new_secret
from storage.tables.webhooks import Change, Limits, TooManyWebhooks, Webhook


class MemoryWebhooks:
    """A `WebhookStore`."""

    def __init__(self) -> None:
        self.webhooks: dict[str, Webhook] = {}
        self.kept: dict[str, Secrets] = {}
        self.dead: dict[str, dict[int, ListedLetter]] = {}

    async def create(self, change: Change, secret: str | None, limits: Limits) -> tuple[str, str]:
        if len(self.webhooks) >= limits.in_all:
            raise TooManyWebhooks("too many")
        self._check_companies("", change, limits)
        now = datetime.now(UTC)
        webhook_id, secret = f"wh_{secrets.token_hex(8)}", secret or new_secret()
        blank = Webhook(
            webhook_id=webhook_id,
            url="",
            companies=None,
            types=None,
            enabled=True,
            description="",
            created_at=now,
            updated_at=now,
            version=0,
            cursor=0,
            previous_until=None,
            delivered_at=None,
            failed_at=None,
            failure=None,
            suspended_until=None,
            dead_letters=0,
            behind=0,
        )
        self.webhooks[webhook_id] = _changed(blank, change)
        self.kept[webhook_id] = Secrets(secret)
        return webhook_id, secret

    async def page(self, only: Collection[str] | None, after: str, limit: int) -> tuple[int, list[Webhook]]:
        seen = sorted(
            (w for w in self.webhooks.values() if _is_visible(w, only)), key=lambda webhook: webhook.webhook_id
        )
        return len(seen), [webhook for webhook in seen if webhook.webhook_id > after][:limit]

    async def find(self, only: Collection[str] | None, webhook_id: str) -> Webhook | None:
        webhook = self.webhooks.get(webhook_id)
        return webhook if webhook is not None and _is_visible(webhook, only) else None

    def _check_companies(self, webhook_id: str, change: Change, limits: Limits) -> None:
        old = self.webhooks[webhook_id].companies if webhook_id else ()
        for company_id in set(change.companies or ()) - set(old or ()):
            if sum(company_id in (each.companies or ()) for each in self.webhooks.values()) >= limits.of_a_company:
                raise TooManyWebhooks(f"the company {company_id} has enough")

    async def change(self, only: Collection[str] | None, webhook_id: str, change: Change, limits: Limits) -> bool:
        webhook = await self.find(only, webhook_id)
        if webhook is not None:
            self._check_companies(webhook_id, change, limits)
            self.webhooks[webhook_id] = _changed(webhook, change)
        return webhook is not None

    async def rotate(
        self, only: Collection[str] | None, webhook_id: str, secret: str | None, overlap_s: float
    ) -> str | None:
        webhook = await self.find(only, webhook_id)
        if webhook is None:
            return None
        secret = secret or new_secret()
        until = datetime.now(UTC) + timedelta(seconds=overlap_s) if overlap_s > 0 else None
        self.kept[webhook_id] = Secrets(secret, self.kept[webhook_id].current if until else None)
        self.webhooks[webhook_id] = msgspec.structs.replace(webhook, previous_until=until)
        return secret

    async def retire_previous(self, only: Collection[str] | None, webhook_id: str) -> bool:
        webhook = await self.find(only, webhook_id)
        if webhook is not None:
            self.kept[webhook_id] = Secrets(self.kept[webhook_id].current)
            self.webhooks[webhook_id] = msgspec.structs.replace(webhook, previous_until=None)
        return webhook is not None

    async def remove(self, only: Collection[str] | None, webhook_id: str) -> bool:
        found = await self.find(only, webhook_id) is not None
        if found:
            del self.webhooks[webhook_id]
        return found

    async def secrets(self, webhook_id: str) -> Secrets | None:
        return self.kept.get(webhook_id)

    async def letters(
        self, only: Collection[str] | None, webhook_id: str, after: int, limit: int
    ) -> list[ListedLetter]:
        letters = self._letters(only, webhook_id)
        return [letters[seq] for seq in sorted(letters) if seq > after][:limit]

    def _letters(self, only: Collection[str] | None, webhook_id: str) -> dict[int, ListedLetter]:
        letters = self.dead.get(webhook_id, {})
        return {seq: each for seq, each in letters.items() if only is None or each.company_id in only}

    async def replay(self, only: Collection[str] | None, webhook_id: str, event_ids: Collection[str] | None) -> int:
        letters, companies = self.dead.get(webhook_id, {}), self.webhooks[webhook_id].companies
        chosen = [
            seq
            for seq, each in self._letters(only, webhook_id).items()
            if (companies is None or each.company_id in companies)
            and each.replay_at is None
            and (event_ids is None or each.event_id in event_ids)
        ]
        for seq in chosen:
            letters[seq] = msgspec.structs.replace(letters[seq], replay_at=datetime.now(UTC))
        return len(chosen)

    async def discard(self, only: Collection[str] | None, webhook_id: str, event_ids: Collection[str] | None) -> int:
        letters = self.dead.get(webhook_id, {})
        chosen = [
            seq
            for seq, each in self._letters(only, webhook_id).items()
            if event_ids is None or each.event_id in event_ids
        ]
        for seq in chosen:
            del letters[seq]
        return len(chosen)


def _is_visible(webhook: Webhook, only: Collection[str] | None) -> bool:
    return only is None or (webhook.companies is not None and set(webhook.companies) <= set(only))


def _changed(webhook: Webhook, change: Change) -> Webhook:
    given: dict[str, Any] = {
        name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET
    }
    for name in ("companies", "types"):
        if given.get(name) is not None:
            given[name] = tuple(sorted(set(given[name])))
    return msgspec.structs.replace(webhook, **given, version=webhook.version + 1, updated_at=datetime.now(UTC))
