"""Notices to the coordinator of webhooks and to webhooks' actors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WebhooksChanged:
    """To the coordinator: read the webhooks in the database now, not at the next survey."""


@dataclass(frozen=True, slots=True)
class WebhookStands:
    """From the coordinator to a webhook's actor, at each survey."""

    version: int
    """The version of the webhook in the database."""
    lease_until: float
    """By trio's clock."""
    has_replays: bool


@dataclass(frozen=True, slots=True)
class StopDelivering:
    """From the coordinator to a webhook's actor: the webhook was removed or disabled, or is another daemon's."""
