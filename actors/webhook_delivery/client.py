"""One attempt to deliver one event."""

from __future__ import annotations

import email.utils
import hashlib
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, final

import trio

from actors.daemon.metrics import Metrics
from actors.outbound.client import OutboundClient
from actors.outbound.errors import OutboundError
from actors.webhook_delivery.delivery import Delivery
from actors.webhook_delivery.signing import signatures
from config.sections import WebhookSettings
from storage.tables.webhook_secrets import Secrets

_ASKS_TO_WAIT: Final = frozenset({429, 503})


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended."""

    failure: str | None
    """A stable word or, for a response that is not a success, `status_…`; None: delivered."""
    status: int | None
    seconds: float
    wait_s: float = 0.0
    """Seconds for which the endpoint asks for no requests."""


@final
class DeliveryClient:
    """Delivers to one endpoint. Whatever the endpoint does, an attempt ends within ``timeout_s``. Only 2xx is a success."""

    def __init__(self, client: OutboundClient, settings: WebhookSettings, metrics: Metrics) -> None:
        self._client = client
        self._settings = settings
        self._metrics = metrics

    async def deliver(self, webhook_id: str, url: str, secrets: Secrets, delivery: Delivery) -> Outcome:
        """Make one attempt. Raises nothing but cancellation."""
        began = trio.current_time()
        try:
            answer = await self._client.fetch(
                "POST",
                url,
                headers=_headers(webhook_id, secrets, delivery),
                body=delivery.body,
                timeout_s=self._settings.timeout_s,
                max_bytes=self._settings.max_answer_bytes,
                may_cut=True,
            )
        except OutboundError as error:
            outcome = Outcome(error.reason, None, trio.current_time() - began)
        else:
            is_success = 200 <= answer.status < 300
            wait_s = _retry_after_s(answer.headers.get("retry-after")) if answer.status in _ASKS_TO_WAIT else 0.0
            failure = None if is_success else f"status_{answer.status}"
            outcome = Outcome(failure, answer.status, trio.current_time() - began, wait_s)
        self._metrics.webhook_tried(outcome.seconds, outcome.failure)
        return outcome

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._client.aclose()


def holder_of(companies: Collection[str] | None) -> str:
    """Return the holder of an endpoint's look-ups: its first company, so that more endpoints do not give a company more shares."""
    return min(companies, default="") if companies is not None else ""


def delivery_id(webhook_id: str, event_id: str) -> str:
    """Return the id of the delivery of one event to one webhook: the same at each attempt, also after a restart and for a replay."""
    return hashlib.sha256(f"{webhook_id}\0{event_id}".encode()).hexdigest()[:32]


def _headers(webhook_id: str, secrets: Secrets, delivery: Delivery) -> list[tuple[str, str]]:
    return [
        ("Content-Type", "application/json"),
        ("X-Webhook-Id", webhook_id),
        # Our ids and types are visible ASCII, but these come from a database.
        ("X-Event-Id", _visible(delivery.event_id)),
        ("X-Event-Type", _visible(delivery.type)),
        ("X-Delivery-Id", delivery_id(webhook_id, delivery.event_id)),
        ("X-Attempt", str(delivery.attempts + 1)),
        *signatures(delivery.body, secrets, int(time.time())),
    ]


def _visible(text: str) -> str:
    return "".join(character if "!" <= character <= "~" else "?" for character in text)


def _retry_after_s(value: str | None) -> float:
    """Return the seconds in either form of the header; 0 when it cannot be parsed."""
    if value is None:
        return 0.0
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0
