"""Webhooks: what their keeper and their actors are told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WebhooksChanged:
    """To the keeper of webhooks: look into the database now, not at the next turn."""


@dataclass(frozen=True, slots=True)
class WebhookStands:
    """From the keeper to a webhook's actor, at each of its turns."""

    version: int
    """Of the webhook in the database."""
    lease_until: float
    """By trio's clock."""
    has_replays: bool


@dataclass(frozen=True, slots=True)
class StopDelivering:
    """From the keeper to a webhook's actor: the webhook is gone, disabled, or another daemon's."""
