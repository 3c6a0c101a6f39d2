"""What a webhook's actor works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import final

from actors.daemon.metrics import Metrics
from actors.outbound.client import OutboundClient
from actors.sharing import Places
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
    """A client of its own for each endpoint, for a company and with so many connections: what one endpoint holds up, no other waits for."""
    deliveries: Places
    """Deliveries under way, of all endpoints; a company's share is one company's, however many endpoints it has."""
    settings: WebhookSettings
    metrics: Metrics
    board: WebhookGauges
    owner: str
    """This daemon, as leases know it."""
    random: Random
