"""The collaborators of a webhook's actor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import final

from actors.daemon.metrics import Metrics
from actors.outbound.client import OutboundClient
from actors.sharing import SharedSlots
from actors.webhooks.gauges import WebhookGauges
from config.sections import WebhookSettings
from storage.database.pool import Database
from supervisor import ActorRef


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookPorts:
    """The collaborators of all webhooks' actors."""

    database: Database
    events: ActorRef
    make_client: Callable[[str, int], OutboundClient]
    """Makes a client for one endpoint, from a company and a number of connections: a slow endpoint then delays no other."""
    deliveries: SharedSlots
    """Slots for deliveries under way, of all endpoints. A company has one share, however many endpoints it has."""
    settings: WebhookSettings
    metrics: Metrics
    gauges: WebhookGauges
    owner: str
    """This daemon's name in leases."""
    random: Random
