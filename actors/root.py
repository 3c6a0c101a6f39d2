"""The only module that names every actor: builds the tree, and gives its actors what they need."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import SystemRandom

import trio
from litestar import Litestar

from actors.company.actor import CompanyActor
from actors.company.link import open_link
from actors.company.ports import CompanyPorts
from actors.daemon.boot import BootActor
from actors.daemon.live_settings import LiveSettings
from actors.daemon.metrics import Metrics
from actors.daemon.notify import ServiceManager
from actors.device_files.removal import discard
from actors.directory.actor import DirectoryActor
from actors.disk.actor import DiskActor
from actors.disk.state import DiskState
from actors.disk.watch import Watch
from actors.engine_pool.actor import EngineActor, EngineCommand
from actors.engine_pool.slots import hosts_of
from actors.events.actor import EventsActor
from actors.health import HealthActor
from actors.http.actor import Address, HttpActor
from actors.http.app import build_app
from actors.http.services.stores import database_stores
from actors.janitor import JanitorActor
from actors.limiter import LimiterActor, SharedWindows, rates_of
from actors.messages import LeaveEngine
from actors.outbound.client import Outbound, outbound_of
from actors.placement import PlacementActor
from actors.postgres import PostgresActor
from actors.sharing import SharedSlots
from actors.storage.actor import StorageActor
from actors.storage.reading import AuthReader
from actors.versions.actor import VersionsActor
from actors.versions.lookup import LookUp
from actors.versions.state import VersionState
from actors.webhooks.actor import FINISH_S, WebhookActor
from actors.webhooks.coordinator import WebhookCoordinator
from actors.webhooks.gauges import WebhookGauges
from actors.webhooks.ports import WebhookPorts
from config.fields import environment_for_children
from config.postgres_url import PostgresUrl, read
from config.reserve import Reserve
from config.settings import Settings
from storage.database.listening import Listener
from storage.database.pool import Database
from storage.embedded.server import EmbeddedPostgres
from storage.tables import ownership
from storage.tables.whatsapp_version import VersionMemory
from supervisor import (
    Backoff,
    ChildSpec,
    Context,
    DynamicSupervisorSpec,
    Intensity,
    MailboxSpec,
    Restart,
    SupervisorSpec,
)
from supervisor.errors import SupervisorError

DEVICE_NAME = "wasup"
LINKER = "actors.linker.process"
INFRASTRUCTURE = Intensity(max_restarts=30, within=60.0)
"""The limit for all root children together. Crashes by hand or by chaos tests stay below it; a child that cannot run at all exceeds it."""
QUICK = Backoff(minimum=0.05, maximum=5.0, reset_after=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the tree is built from. It outlives its actors' crashes."""

    settings: Settings
    database: Database
    metrics: Metrics
    owner: str
    """This daemon's name in leases: ``<installation>/<host>-<boot>``."""
    runtime_dir: Path
    embedded: EmbeddedPostgres | None
    connect_gate: trio.CapacityLimiter
    disk: DiskState
    versions: VersionState
    live: LiveSettings
    """``settings`` with the changes of reloads."""
    manager: ServiceManager


def api_socket(runtime_dir: Path) -> Path:
    """Return the path of the socket on which HTTP is served to this machine's command line."""
    return runtime_dir / "api.sock"


def build_tree(parts: Parts) -> SupervisorSpec:
    """Return the tree of docs/ARCHITECTURE.md, in start order."""
    settings = parts.settings
    outbound = outbound_of(settings.outbound)
    webhook_board = WebhookGauges()
    listener = parts.database.listener(ownership.CHANNEL)
    children = [
        ChildSpec(id="disk", start=partial(_disk, parts), backoff=QUICK),
        ChildSpec(id="boot", start=partial(_boot, parts), restart=Restart.TRANSIENT),
        ChildSpec(id="storage", start=partial(_storage, parts), mailbox=MailboxSpec(capacity=20_000), backoff=QUICK),
        ChildSpec(id="events", start=partial(_events, parts), mailbox=MailboxSpec(capacity=20_000), backoff=QUICK),
        ChildSpec(id="limiter", start=partial(_limiter, parts), backoff=QUICK),
        ChildSpec(id="versions", start=partial(_versions, parts), backoff=QUICK),
        ChildSpec(id="engines", start=DynamicSupervisorSpec(intensity=ENGINES, intensity_per_child=True)),
        ChildSpec(
            id="placement", start=partial(_placement, parts), mailbox=MailboxSpec(capacity=10_000), backoff=QUICK
        ),
        ChildSpec(
            id="companies", start=DynamicSupervisorSpec(intensity=_companies(settings), intensity_per_child=True)
        ),
        ChildSpec(
            id="directory",
            start=partial(_directory, parts, listener),
            mailbox=MailboxSpec(capacity=20_000),
            backoff=QUICK,
        ),
        ChildSpec(id="health", start=partial(_health, parts), backoff=QUICK),
        ChildSpec(id="webhooks", start=DynamicSupervisorSpec(intensity=WEBHOOKS, intensity_per_child=True)),
        ChildSpec(id="keeper", start=partial(_keeper, parts, webhook_board, outbound), backoff=QUICK),
        ChildSpec(id="janitor", start=partial(_janitor, parts), backoff=QUICK),
        ChildSpec(
            id="http",
            start=partial(_http, parts, Address(settings.bind), build_app(settings.http), outbound),
            shutdown=settings.http.drain_timeout_s + 3.0,
            backoff=QUICK,
        ),
    ]
    if parts.embedded is not None:
        children.insert(
            1,
            ChildSpec(
                id="postgres", start=partial(_postgres, parts.embedded, parts.disk), shutdown=10.0, backoff=QUICK
            ),
        )
    return SupervisorSpec(children, intensity=INFRASTRUCTURE)


ENGINES = Intensity(max_restarts=20, within=60.0)
WEBHOOKS = Intensity(max_restarts=10, within=60.0)


def _companies(settings: Settings) -> Intensity:
    return Intensity(max_restarts=settings.company.max_restarts, within=settings.company.restart_window_s)


def _disk(parts: Parts, context: Context) -> DiskActor:
    settings = parts.settings
    reserve = Reserve(settings.devices_dir, settings.disk.reserve_bytes)
    parts.disk.reserve_bytes = reserve.bytes_wanted()
    directories = {"state": settings.state_dir, "devices": settings.devices_dir, "postgres": settings.postgres_dir}
    return DiskActor(parts.disk, Watch(directories, reserve), context.ref_to("/directory"), parts.metrics)


def _postgres(embedded: EmbeddedPostgres, disk: DiskState, _: Context) -> PostgresActor:
    return PostgresActor(embedded, disk)


def _boot(parts: Parts, _: Context) -> BootActor:
    return BootActor(parts.database, admin_key_file=parts.settings.admin_key_file, direct=direct_url(parts.settings))


def direct_url(settings: Settings) -> PostgresUrl | None:
    """Return the URL that leads past a pooler, if one is set."""
    return None if settings.database_direct_url is None else read(settings.database_direct_url.reveal(), os.environ)


def _storage(parts: Parts, _: Context) -> StorageActor:
    return StorageActor(
        parts.database,
        settings=parts.settings.storage,
        owner=parts.owner,
        lease_ttl_s=parts.settings.lease.ttl_s,
        metrics=parts.metrics,
    )


def _events(parts: Parts, context: Context) -> EventsActor:
    return EventsActor(context.ref_to("/storage"), parts.database, parts.settings.events, parts.metrics)


def _limiter(parts: Parts, _: Context) -> LimiterActor:
    limits = parts.live.now.rate_limit
    return LimiterActor(
        rates=rates_of(limits),
        metrics=parts.metrics,
        settings=limits,
        shared=_shared_windows(parts.settings),
    )


def _shared_windows(settings: Settings) -> SharedWindows | None:
    if settings.redis_url is None:
        return None
    # Its client library takes 12 MB of memory, and most daemons have no Redis.
    from actors.redis_windows import RedisWindows

    return RedisWindows(settings.redis_url)


def _versions(parts: Parts, _: Context) -> VersionsActor:
    settings = parts.settings.whatsapp
    look_up = LookUp(settings.version_url, timeout_s=settings.version_timeout_s, max_bytes=settings.version_page_bytes)
    parts.metrics.set_source("versions", parts.versions.samples)
    return VersionsActor(
        parts.versions,
        settings=settings,
        ask=lambda: look_up.newest(parts.live.now.proxy.reveal() if parts.live.now.proxy else None),
        memory=VersionMemory(parts.database),
        wall_clock=time.time,
    )


def _placement(parts: Parts, context: Context) -> PlacementActor:
    command = EngineCommand(
        runtime_dir=parts.runtime_dir,
        device_dir=parts.settings.devices_dir,
        environment=environment_for_children(os.environ),
        max_companies=parts.settings.sessions_per_engine,
        versions=parts.versions,
    )
    linker = command if parts.settings.linker == "engine" else replace(command, module=LINKER)
    return PlacementActor(
        context.supervisor("/engines"),
        make_engine=lambda engine: EngineActor(
            linker if hosts_of(engine.name) == "pairing" else command, parts.settings.engine, parts.metrics, context.ref
        ),
        settings=parts.settings.engine,
        sessions_per_engine=parts.settings.sessions_per_engine,
        have_leave=partial(_have_leave, context),
        version=lambda: parts.versions.current.text,
    )


def _have_leave(context: Context, company_id: str) -> None:
    with suppress(SupervisorError):  # gone, or busy: it is sent again at the next report of the engine
        context.supervisor("/companies").child(company_id).tell(LeaveEngine())


def _directory(parts: Parts, listener: Listener, context: Context) -> DirectoryActor:
    return DirectoryActor(
        running=context.supervisor("/companies"),
        storage=context.ref_to("/storage"),
        database=parts.database,
        listener=listener,
        owner=parts.owner,
        company_spec=_company_specs(parts, context),
        lease=parts.settings.lease,
        metrics=parts.metrics,
        discard_device=partial(discard, parts.settings.devices_dir),
    )


def _company_specs(parts: Parts, context: Context) -> Callable[[str, bool], ChildSpec]:
    settings = parts.settings
    ports = CompanyPorts(
        storage=context.ref_to("/storage"),
        events=context.ref_to("/events"),
        directory=context.ref_to("/directory"),
        placement=context.ref_to("/placement"),
        open_link=open_link,
        load_auth=AuthReader(parts.database, wall_clock=time.time).load,
        connect_gate=parts.connect_gate,
        metrics=parts.metrics,
        disk=parts.disk,
        versions=parts.versions,
        settings=settings.company,
        storage_timeout_s=settings.storage.command_timeout_s,
        engine_timeout_s=settings.engine.start_timeout_s,
        file_timeout_s=settings.media.transfer_timeout_s,
        media_retention_s=settings.media.retention_s,
        random=SystemRandom(),
        wall_clock=time.time,
        owner=parts.owner,
        proxy_of=parts.live.proxy_for,
        device_name=DEVICE_NAME,
    )

    def spec(company_id: str, running: bool) -> ChildSpec:
        return ChildSpec(
            id=company_id,
            start=lambda _: CompanyActor(company_id, ports=ports, running=running),
            shutdown=settings.company.stop_timeout_s + 1.0,
            backoff=Backoff(
                minimum=settings.company.restart_min_s, maximum=settings.company.restart_max_s, reset_after=60.0
            ),
            mailbox=MailboxSpec(capacity=settings.company.mailbox_messages),
        )

    return spec


def _health(parts: Parts, context: Context) -> HealthActor:
    async def restart_company(company_id: str) -> None:
        await context.system.restart(f"/companies/{company_id}")

    return HealthActor(
        directory=context.ref_to("/directory"),
        events=context.ref_to("/events"),
        storage=context.ref_to("/storage"),
        settings=parts.settings.health,
        restart_company=restart_company,
        manager=parts.manager,
        disk=parts.disk,
    )


def _keeper(parts: Parts, gauges: WebhookGauges, outbound: Outbound, context: Context) -> WebhookCoordinator:
    ports = WebhookPorts(
        database=parts.database,
        events=context.ref_to("/events"),
        make_client=lambda holder, connections: outbound.client(holder, connections=connections),
        deliveries=SharedSlots(parts.settings.webhooks.max_deliveries, reserve=0.0),
        settings=parts.settings.webhooks,
        metrics=parts.metrics,
        gauges=gauges,
        owner=parts.owner,
        random=SystemRandom(),
    )

    def spec(webhook_id: str) -> ChildSpec:
        return ChildSpec(
            id=webhook_id,
            start=lambda _: WebhookActor(webhook_id, ports),
            restart=Restart.TRANSIENT,
            shutdown=FINISH_S + 3.0,
            backoff=QUICK,
            mailbox=MailboxSpec(capacity=100),
        )

    return WebhookCoordinator(context.supervisor("/webhooks"), spec, ports)


def _janitor(parts: Parts, _: Context) -> JanitorActor:
    return JanitorActor(
        parts.database,
        settings=parts.settings.janitor,
        webhooks=parts.settings.webhooks,
        keep_events_s=parts.settings.events.retention_s,
    )


def _http(parts: Parts, address: Address, app: Litestar, outbound: Outbound, context: Context) -> HttpActor:
    return HttpActor(
        settings=parts.settings,
        directory=context.ref_to("/directory"),
        events=context.ref_to("/events"),
        limiter=context.ref_to("/limiter"),
        health=context.ref_to("/health"),
        keeper=context.ref_to("/keeper"),
        metrics=parts.metrics,
        disk=parts.disk,
        stores=database_stores(
            parts.database, idempotency_ttl_s=parts.settings.storage.idempotency_ttl_s, owner=parts.owner
        ),
        outbound=outbound,
        app=app,
        address=address,
        local_socket=api_socket(parts.runtime_dir),
    )
