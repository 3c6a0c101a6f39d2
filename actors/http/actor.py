"""The HTTP actor: listens, serves, and drains when it stops."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import structlog
import trio
from litestar import Litestar

from actors.daemon.exceptions import first_leaf
from actors.daemon.metric_types import Sample
from actors.daemon.metrics import Metrics
from actors.disk.state import DiskState
from actors.http.access.audit import AuditLog, AuditTrail
from actors.http.access.auth import Authenticator, KeyStore
from actors.http.access.shared_slots import slot_samples
from actors.http.app import build_app, connect
from actors.http.dashboard.facts import ServerStore
from actors.http.dashboard.model import DashboardModel
from actors.http.dashboard.stream import DashboardStreams
from actors.http.front import Front
from actors.http.routes.fast_path import FastPath
from actors.http.routes.live import LiveEvents
from actors.http.routes.monitoring import actor_samples
from actors.http.services.backends import Backends, RemovalStore, Waits
from actors.http.services.failures import where
from actors.http.services.idempotency import Idempotency, IdempotencyStore
from actors.http.services.transfers import MediaStore, Transfers
from actors.http.services.webhook_service import WebhookService, WebhookStore
from actors.http.transport.client_address import ClientAddresses
from actors.http.transport.failure_log import FailureLog
from actors.http.transport.head_requests import HeadRequests
from actors.http.transport.listening import TlsError, listen, listen_local, tls_context
from actors.http.transport.server import Server
from actors.http.transport.tasks import AsgiApp
from actors.media.spool import Spool
from actors.messages import GetHttpAddress, ReloadFiles
from actors.outbound.client import Outbound, outbound_of
from actors.sharing import SharedSlots
from config.settings import Settings
from config.values import Bind
from supervisor import Actor, ActorRef, Down, ExitReason

_SPARE_S: Final = 3.0
"""The part of a request's time that is left for everything but waiting for the company and sending."""
_ANSWER_FIRST_S: Final = 0.2
_WATCH_AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class _ActOnSelf:
    action: str


@dataclass(frozen=True, slots=True)
class _WatchEvents:
    pass


class ToldToCrash(Exception):
    """An operator killed the HTTP actor."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Stores of the HTTP side."""

    keys: KeyStore
    idempotency: IdempotencyStore
    audit: AuditLog
    server: ServerStore
    media: MediaStore
    webhooks: WebhookStore
    removals: RemovalStore


@final
class Address:
    """Where to listen. Port 0 is replaced by the assigned port, so that clients find the next incarnation at the same address."""

    def __init__(self, bind: Bind) -> None:
        self.host = bind.host
        self.port = bind.port


@final
class HttpActor(Actor):
    """Serves the API and live events. `started` fails with BindError or TlsError; `stopping` drains.

    ``local_socket``: a Unix socket in a private directory, through which the command line reaches exactly this daemon. ``app``: the
    routes, from `build_app`; build it once for all incarnations. A stop takes a little longer than ``http.drain_timeout_s`` at most:
    give the child a longer shutdown time.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        directory: ActorRef,
        events: ActorRef,
        limiter: ActorRef,
        health: ActorRef,
        keeper: ActorRef | None = None,
        metrics: Metrics,
        disk: DiskState | None = None,
        stores: Stores,
        outbound: Outbound | None = None,
        app: Litestar | None = None,
        address: Address | None = None,
        local_socket: Path | None = None,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._events = events
        self._limiter = limiter
        self._health = health
        self._keeper = keeper
        self._metrics = metrics
        self._disk = disk or DiskState()
        self._stores = stores
        self._given_outbound = outbound
        self._app = app or build_app(settings.http)
        self._address = address or Address(settings.bind)
        self._local_socket = local_socket
        self._log = structlog.get_logger("wasup.http")
        self._failures = FailureLog()

    async def started(self) -> None:
        settings = self._settings
        self._outbound = self._given_outbound or outbound_of(settings.outbound)
        # Fewer than connections: an open connection is needed to refuse a request, and each stream has one.
        self._requests = SharedSlots(max(1, settings.http.max_connections * 3 // 4))
        self._transferred, self._webhook_service = self._transfers(), self._webhook_desk()
        audit = self._audit = AuditTrail(self._stores.audit)
        authenticator = self._authenticator = Authenticator(self._stores.keys, self._metrics, settings.http, audit)
        backends = self._backends(audit)
        streams = min(settings.http.max_websockets, settings.events.max_subscribers)
        self._live = LiveEvents(backends, authenticator, limit=streams, silence_s=settings.http.websocket_silence_s)
        dashboard_model = DashboardModel(backends, settings, self._stores.server)
        self._dashboards = DashboardStreams(
            dashboard_model, backends, authenticator, limit=settings.http.max_dashboards
        )
        connect(self._app, backends, authenticator)
        fast_path = FastPath(HeadRequests(self._app), backends, authenticator, settings.http)
        self._server = await self._listen(fast_path, backends.requests)
        self._metrics.set_source("actors", lambda: actor_samples(self.context.system.snapshot()))
        self._metrics.set_source("http", self._samples)
        self.context.monitor(self._events)
        self.context.spawn(self._server.serve, name="serve")
        self.context.spawn(audit.run, name="audit")
        self.context.spawn(dashboard_model.run, name="board")
        self.context.spawn(authenticator.follow_revocations, name="revocations")
        self._log.info("listening", host=self._address.host, port=self._address.port)

    async def _listen(self, app: AsgiApp, requests: SharedSlots) -> Server:
        http = self._settings.http
        tls = self._tls()
        peers = ClientAddresses(http.trusted_proxies, is_encrypted=tls is not None)
        front = Front(
            app,
            self._live,
            self._dashboards,
            peers,
            self._metrics,
            requests=requests,
            request_timeout_s=http.request_timeout_s,
        )
        address = self._address
        listener = await listen(address.host, address.port, user_timeout_s=http.tcp_user_timeout_s)
        try:
            local = await listen_local(self._local_socket) if self._local_socket is not None else None
        except BaseException:
            listener.socket.close()
            raise
        server = Server(
            front,
            listener,
            local=local,
            settings=http,
            peers=peers,
            tls=tls,
            metrics=self._metrics,
            on_failure=self._note_failure,
        )
        _, address.port = server.address
        return server

    def _tls(self) -> ssl.SSLContext | None:
        http = self._settings.http
        if http.tls_certificate_file is None or http.tls_key_file is None:
            return None
        return tls_context(http.tls_certificate_file, http.tls_key_file)

    def _reload(self) -> None:
        self._authenticator.forget()
        try:
            self._server.use_tls(self._tls())
        except TlsError as error:
            self._log.error("certificate_not_reloaded", reason=str(error))

    async def receive(self, message: Any) -> Any:
        match message:
            case GetHttpAddress():
                return self._server.address
            case ReloadFiles():
                self._reload()
            case Down():
                # Subscribers of the old events actor would receive nothing any more.
                self._live.close_all("restarting")
                self._dashboards.follow_again()
                self.context.after(_WATCH_AGAIN_S, _WatchEvents())
            case _WatchEvents():
                self.context.monitor(self._events)
            case _ActOnSelf("kill"):
                raise ToldToCrash("killed by an operator")
            case _ActOnSelf("restart"):
                self.context.stop()
            case _:
                raise TypeError(f"the HTTP actor does not understand {type(message).__name__}")
        return None

    async def stopping(self, reason: ExitReason) -> None:
        """Let requests under way finish within ``http.drain_timeout_s``; ask event streams to reconnect."""
        self._live.close_all("restarting")
        self._dashboards.close_all("restarting")
        await self._server.drain()
        await self._audit.finish()

    def _backends(self, audit: AuditTrail) -> Backends:
        settings = self._settings
        return Backends(
            directory=self._directory,
            events=self._events,
            limiter=self._limiter,
            health=self._health,
            system=self.context.system,
            metrics=self._metrics,
            idempotency=Idempotency(self._stores.idempotency, spawn=lambda work: self.context.spawn(work, name="send")),
            audit=audit,
            audit_log=self._stores.audit,
            transfers=self._transferred,
            requests=self._requests,
            webhooks=self._webhook_service,
            removals=self._stores.removals,
            act_on_self=self._act_on_self,
            waits=self._waits(),
            may_wait=trio.Semaphore(settings.http.max_waiting_sends),
            region=settings.default_region,
        )

    def _waits(self) -> Waits:
        company = self._settings.company
        send_s = company.send_timeout_s + 2.0
        left_s = self._settings.http.request_timeout_s - send_s - _SPARE_S
        return Waits(
            send_s=send_s,
            inquiry_s=company.inquiry_timeout_s,
            connected_s=max(0.0, min(company.send_wait_s, left_s)),
        )

    def _transfers(self) -> Transfers:
        settings = self._settings
        return Transfers(
            settings.media,
            store=self._stores.media,
            spool=Spool(settings.state_dir / "media"),
            outbound=self._outbound,
            wall_clock=time.time,
            disk=self._disk,
        )

    def _webhook_desk(self) -> WebhookService:
        return WebhookService(
            self._stores.webhooks,
            outbound=self._outbound,
            settings=self._settings.webhooks,
            metrics=self._metrics,
            keeper=self._keeper,
        )

    def _samples(self) -> Iterable[Sample]:
        yield Sample("wasup_http_open_connections", "Connections open now", self._server.connections)
        yield Sample("wasup_dashboards_open", "Dashboards open now", self._dashboards.open)
        yield Sample("wasup_events_subscribers", "Live event streams open now", self._live.subscribers)
        yield from slot_samples(
            requests=self._requests,
            websockets=self._live.slots,
            dashboards=self._dashboards.slots,
            tickets=self._authenticator.tickets.slots,
            files=self._transferred.slots,
            webhook_tests=self._webhook_service.tests,
        )
        yield Sample("wasup_trio_tasks", "Tasks of the event loop", trio.lowlevel.current_statistics().tasks_living)

    def _act_on_self(self, action: str, path: str) -> bool:
        if path != self.context.path or action not in {"kill", "restart"}:
            return False
        self.context.after(_ANSWER_FIRST_S, _ActOnSelf(action))
        return True

    def _note_failure(self, error: BaseException) -> None:
        self._failures.note(type(first_leaf(error)).__name__, where(error))
