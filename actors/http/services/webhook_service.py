"""Backends of the routes for webhooks."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from contextlib import suppress
from typing import Final, Protocol, final

import msgspec

from actors.daemon.metrics import Metrics
from actors.http.access.principal import Principal
from actors.http.access.shared_slots import slot_for
from actors.http.model.problems import Problem
from actors.messages import WebhooksChanged, new_event
from actors.outbound.client import Outbound
from actors.outbound.errors import OutboundRefused
from actors.sharing import RESERVE, SharedSlots
from actors.webhook_delivery.client import DeliveryClient, Outcome, holder_of
from actors.webhook_delivery.delivery import Delivery
from config.sections import WebhookSettings
from storage.tables.webhook_dead_letters import ListedLetter
from storage.tables.webhook_secrets import Secrets
from storage.tables.webhooks import Change, Limits, Webhook
from supervisor import ActorRef
from supervisor.errors import SupervisorError

TESTS_AT_ONCE: Final = 4
TEST_TYPE: Final = "test"
"""Type of the test event: it is in no log and in no filter."""


class WebhookStore(Protocol):
    """Stores webhooks. ``only``: the companies of the caller's key, None for all. Every method raises StorageUnavailable."""

    async def create(self, change: Change, secret: str | None, limits: Limits) -> tuple[str, str]:
        """Create a webhook; return its id and secret. Raises `TooManyWebhooks`."""
        ...

    async def page(self, only: Collection[str] | None, after: str, limit: int) -> tuple[int, list[Webhook]]:
        """Return how many webhooks the key sees, and a page of them by id."""
        ...

    async def find(self, only: Collection[str] | None, webhook_id: str) -> Webhook | None:
        """Return the webhook if the key sees it."""
        ...

    async def change(self, only: Collection[str] | None, webhook_id: str, change: Change, limits: Limits) -> bool:
        """Change the webhook; return whether it exists. Raises `TooManyWebhooks` when it adds a company that has enough."""
        ...

    async def rotate(
        self, only: Collection[str] | None, webhook_id: str, secret: str | None, overlap_s: float
    ) -> str | None:
        """Start to sign with ``secret``, or a generated one; the present one stays valid for ``overlap_s``. None: no such webhook."""
        ...

    async def retire_previous(self, only: Collection[str] | None, webhook_id: str) -> bool:
        """Sign with the current secret only; return whether the webhook exists."""
        ...

    async def remove(self, only: Collection[str] | None, webhook_id: str) -> bool:
        """Remove the webhook; return whether it existed."""
        ...

    async def secrets(self, webhook_id: str) -> Secrets | None:
        """Return the secrets to sign with now."""
        ...

    async def letters(
        self, only: Collection[str] | None, webhook_id: str, after: int, limit: int
    ) -> list[ListedLetter]:
        """Return a page of the webhook's dead letters that the key sees."""
        ...

    async def replay(self, only: Collection[str] | None, webhook_id: str, event_ids: Collection[str] | None) -> int:
        """Mark dead letters to be sent again; return how many. Only those that the key sees, of companies that the webhook is for."""
        ...

    async def discard(self, only: Collection[str] | None, webhook_id: str, event_ids: Collection[str] | None) -> int:
        """Remove dead letters; return how many."""
        ...


@final
class WebhookService:
    """The store of webhooks, their limits, and test deliveries."""

    # No dataclass: the framework would inspect it, and the policy's types, for each request.
    def __init__(
        self,
        store: WebhookStore,
        *,
        outbound: Outbound,
        settings: WebhookSettings,
        metrics: Metrics,
        keeper: ActorRef | None,
    ) -> None:
        self.store = store
        self.settings = settings
        self._outbound = outbound
        self._policy = outbound.policy
        self._metrics = metrics
        self._keeper = keeper
        self.tests = SharedSlots(TESTS_AT_ONCE)

    def check_url(self, url: str) -> None:
        """Raise `invalid_url` for a URL that can never be called: malformed, not https, or with an address that is not public."""
        try:
            self._policy.check_url(url)
        except OutboundRefused as refused:
            raise Problem("invalid_url", refused.text) from refused

    def changed(self) -> None:
        """Make this daemon read the webhooks again now; other daemons notice the change a little later."""
        if self._keeper is not None:
            with suppress(SupervisorError):
                self._keeper.tell(WebhooksChanged())

    def limits(self, principal: Principal) -> Limits:
        """Return how many webhooks a key like this may have: the last tenth is for administrators."""
        settings = self.settings
        most = settings.max_endpoints
        reserve = 0 if principal.is_admin else min(math.ceil(most * RESERVE), max(most - 1, 0))
        return Limits(in_all=most - reserve, of_a_company=settings.max_endpoints_per_company)

    async def test(self, principal: Principal, webhook: Webhook) -> Outcome:
        """Deliver a test event now, before all that waits. Raises `overloaded`, `no_such_webhook`."""
        secrets = await self.store.secrets(webhook.webhook_id)
        if secrets is None:
            raise Problem("no_such_webhook")
        with slot_for(principal, self.tests, "overloaded", "tests under way"):
            async with self._outbound.client(holder_of(webhook.companies), connections=1) as client:
                delivery_client = DeliveryClient(client, self.settings, self._metrics)
                return await delivery_client.deliver(webhook.webhook_id, webhook.url, secrets, _test_delivery(webhook))


def _test_delivery(webhook: Webhook) -> Delivery:
    company_id = webhook.companies[0] if webhook.companies else ""
    event = new_event(TEST_TYPE, company_id, time.time(), {"webhookId": webhook.webhook_id})
    return Delivery(
        seq=0,
        event_id=event.id,
        type=event.type,
        company_id=company_id,
        body=msgspec.json.encode(event),
        occurred_at=event.timestamp,
        attempts=0,
        last_attempt=1,
    )
