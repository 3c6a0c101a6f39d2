"""The delivering half of a daemon: real storage, real events, real webhooks, and an application that receives."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from actors.daemon.metrics import Metrics
from actors.events.actor import EventsActor
from actors.messages import Event, Publish, WebhooksChanged
from actors.outbound.client import Outbound
from actors.outbound.guard import Lookups
from actors.sharing import SharedSlots
from actors.storage.actor import StorageActor
from actors.webhooks.actor import WebhookActor
from actors.webhooks.coordinator import WebhookCoordinator
from actors.webhooks.gauges import WebhookGauges
from actors.webhooks.ports import WebhookPorts
from config.sections import EventSettings, StorageSettings, WebhookSettings
from storage.database.pool import Database
from storage.tables import webhook_dead_letters, webhooks
from storage.tables.webhooks import Change, Limits, Webhook
from supervisor import (
    ChildSpec,
    Context,
    DynamicSupervisorSpec,
    Intensity,
    Restart,
    SupervisorSpec,
    System,
    open_system,
)
from tests.outbound.receiver import Host, Received, policy
from tests.support.waiting import wait_until

COMPANY = "962302"
OTHER = "962303"
PATIENCE_S = 30.0

QUICK: dict[str, Any] = {
    "survey_interval_s": 0.05,
    "save_interval_s": 0.02,
    "retry_min_s": 0.01,
    "retry_max_s": 0.05,
    "circuit_min_s": 0.05,
    "circuit_max_s": 0.1,
    "circuit_failures": 1000,
}


@dataclass
class Deliveries:
    """A running daemon's webhooks."""

    database: Database
    system: System
    metrics: Metrics

    async def publish(self, *events: Event) -> None:
        """Store events."""
        await self.system.ref("/events").ask(Publish(events))

    async def webhook(self, host: Host, **change: Any) -> str:
        """Make a webhook for ``host``; return its id."""
        return (await make_webhook(self.database, host, **change))[0]

    def look(self) -> None:
        """Have the keeper look at once."""
        self.system.ref("/keeper").tell(WebhooksChanged())

    async def found(self, webhook_id: str) -> Webhook:
        """The webhook as it is in the database."""
        webhook = await webhooks.find(self.database, None, webhook_id)
        assert webhook is not None
        return webhook

    async def wait_cursor(self, webhook_id: str, seq: int) -> None:
        """Wait until everything up to this event is settled."""

        async def is_there() -> bool:
            return (await self.found(webhook_id)).cursor >= seq

        await wait_until(is_there, seconds=PATIENCE_S)

    async def wait_dead(self, webhook_id: str, count: int) -> None:
        """Wait until there are that many dead letters."""

        async def are_there() -> bool:
            return len(await webhook_dead_letters.list_page(self.database, None, webhook_id)) == count

        await wait_until(are_there, seconds=PATIENCE_S)

    def metric(self, name: str, **labels: str) -> float | None:
        """One value of the exposition."""
        for family in self.metrics.collect():
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return None


async def make_webhook(
    database: Database, host: Host, path: str = "/hook", *, secret: str | None = None, **change: Any
) -> tuple[str, str]:
    """Make a webhook for ``host``; return its id and its secret."""
    url = f"http://127.0.0.1:{host.port}{path}"
    return await database.write(webhooks.create, Change(url=url, **change), secret=secret, limits=Limits(1000, 1000))


@asynccontextmanager
async def delivering(database: Database, *, owner: str = "here/1", **settings: Any) -> AsyncGenerator[Deliveries]:
    """A daemon for the length of the block; ``settings`` of webhooks are added to `QUICK`."""
    metrics = Metrics(CollectorRegistry())
    hooks = WebhookSettings(**{**QUICK, **settings})

    def storage(_: Context) -> StorageActor:
        return StorageActor(database, settings=StorageSettings(), owner=owner, lease_ttl_s=60.0, metrics=metrics)

    def events(context: Context) -> EventsActor:
        return EventsActor(context.ref_to("/storage"), database, EventSettings(follow_interval_s=0.05), metrics)

    gauges = WebhookGauges()

    def keeper(context: Context) -> WebhookCoordinator:
        outbound = Outbound(policy(allow_http=True, networks=["127.0.0.1"]), Lookups(16))
        ports = WebhookPorts(
            database=database,
            events=context.ref_to("/events"),
            make_client=lambda holder, connections: outbound.client(holder, connections=connections),
            deliveries=SharedSlots(hooks.max_deliveries, reserve=0.0),
            settings=hooks,
            metrics=metrics,
            gauges=gauges,
            owner=owner,
            random=Random(1),
        )

        def spec(webhook_id: str) -> ChildSpec:
            return ChildSpec(webhook_id, lambda _: WebhookActor(webhook_id, ports), restart=Restart.TRANSIENT)

        return WebhookCoordinator(context.supervisor("/webhooks"), spec, ports)

    tree = SupervisorSpec(
        [
            ChildSpec("storage", storage),
            ChildSpec("events", events),
            ChildSpec("webhooks", DynamicSupervisorSpec(intensity=Intensity(100, 60.0), intensity_per_child=True)),
            ChildSpec("keeper", keeper),
        ],
        intensity=Intensity(100, 60.0),
    )
    async with open_system(tree) as system:
        yield Deliveries(database, system, metrics)


def event(text: str = "", *, company_id: str = COMPANY, kind: str = "message", at: float = 1.0) -> Event:
    """One event whose payload is ``text``."""
    payload = msgspec.Raw(msgspec.json.encode({"text": text}))
    return Event(id=str(uuid.uuid4()), type=kind, company_id=company_id, timestamp=at, payload=payload)


def text_of(request: Received) -> str:
    """The text of the event in a request."""
    return str(msgspec.json.decode(request.body)["payload"]["text"])


def texts(host: Host, company_id: str | None = None) -> list[str]:
    """The texts that a host received, in order."""
    return [
        text_of(request)
        for request in host.received
        if company_id is None or msgspec.json.decode(request.body)["companyId"] == company_id
    ]


async def wait_received(host: Host, count: int) -> None:
    """Wait until a host has that many requests."""
    await wait_until(lambda: len(host.received) >= count, seconds=PATIENCE_S)
