"""Bodies of responses about webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from actors.messages import Answer
from actors.outbound.errors import public_reason
from storage.tables.webhook_dead_letters import ListedLetter
from storage.tables.webhooks import Webhook


class WebhookAnswer(Answer, frozen=True, kw_only=True):
    """A webhook and how it stands. Times are Unix seconds."""

    id: str
    url: str
    companies: tuple[str, ...] | None
    event_types: tuple[str, ...] | None
    enabled: bool
    description: str
    status: Literal["active", "suspended", "disabled"]
    """`suspended`: it failed too often in a row, and is tried now and then."""
    cursor: int
    """Events up to this `seq` were delivered, given up, or not wanted."""
    lag: int
    """Events after the cursor, wanted or not."""
    dead_letters: int
    last_delivered_at: float | None
    last_failed_at: float | None
    last_failure: str | None
    suspended_until: float | None
    previous_secret_until: float | None
    """Until then deliveries are signed with the secret before the current one too."""
    created_at: float
    updated_at: float


class WebhookReply(WebhookAnswer, frozen=True, kw_only=True):
    """One webhook."""

    success: bool = True


class NewWebhookReply(WebhookAnswer, frozen=True, kw_only=True):
    """A webhook just made. Its secret is shown here and nowhere else."""

    secret: str
    success: bool = True


class WebhooksReply(Answer, frozen=True, kw_only=True):
    """A page of webhooks; ``count`` is of all pages."""

    count: int
    webhooks: tuple[WebhookAnswer, ...]
    next: str | None
    """The ``after`` of the next page; null on the last."""
    success: bool = True


class SecretReply(Answer, frozen=True, kw_only=True):
    """A new secret, shown here and nowhere else."""

    id: str
    secret: str
    previous_secret_until: float | None
    success: bool = True


class TestReply(Answer, frozen=True, kw_only=True):
    """How one delivery of a test event went."""

    delivered: bool
    failure: str | None
    status: int | None
    """The HTTP status of the endpoint's response, if there was one."""
    seconds: float
    success: bool = True


class DeadLetter(Answer, frozen=True, kw_only=True):
    """An event that was given up."""

    seq: int
    event_id: str
    type: str
    company_id: str
    attempts: int
    last_failure: str
    last_status: int | None
    died_at: float
    replay: bool
    """It waits to be sent again."""
    event: msgspec.Raw


class DeadLettersReply(Answer, frozen=True, kw_only=True):
    """A page of dead letters by ``seq``."""

    dead_letters: tuple[DeadLetter, ...]
    next: int | None
    """The ``after`` of the next page; null on the last."""
    success: bool = True


class CountReply(Answer, frozen=True, kw_only=True):
    """How many were affected."""

    count: int
    success: bool = True


def shown(webhook: Webhook, *, to_operator: bool) -> dict[str, object]:
    """Return the fields of a `WebhookAnswer`. Only an operator sees why a host's name led nowhere."""
    suspended = webhook.suspended_until is not None
    return {
        "id": webhook.webhook_id,
        "url": webhook.url,
        "companies": webhook.companies,
        "event_types": webhook.types,
        "enabled": webhook.enabled,
        "description": webhook.description,
        "status": "disabled" if not webhook.enabled else "suspended" if suspended else "active",
        "cursor": webhook.cursor,
        "lag": webhook.behind,
        "dead_letters": webhook.dead_letters,
        "last_delivered_at": seconds(webhook.delivered_at),
        "last_failed_at": seconds(webhook.failed_at),
        "last_failure": webhook.failure and failure(webhook.failure, to_operator=to_operator),
        "suspended_until": seconds(webhook.suspended_until),
        "previous_secret_until": seconds(webhook.previous_until),
        "created_at": webhook.created_at.timestamp(),
        "updated_at": webhook.updated_at.timestamp(),
    }


def letter(listed: ListedLetter, *, to_operator: bool) -> DeadLetter:
    """Return the dead letter as it is sent."""
    return DeadLetter(
        seq=listed.seq,
        event_id=listed.event_id,
        type=listed.type,
        company_id=listed.company_id,
        attempts=listed.attempts,
        last_failure=failure(listed.failure, to_operator=to_operator),
        last_status=listed.status,
        died_at=listed.died_at.timestamp(),
        replay=listed.replay_at is not None,
        event=msgspec.Raw(listed.body),
    )


def failure(word: str, *, to_operator: bool) -> str:
    """Return a failure's word as it is sent."""
    return word if to_operator else public_reason(word)


def seconds(at: datetime | None) -> float | None:
    """Return ``at`` in Unix seconds."""
    return None if at is None else at.timestamp()
