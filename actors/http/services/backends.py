"""Backends of the routes: everything they need from the rest of the daemon, and how long they wait for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, final

import trio
from litestar import Request
from litestar.di import NamedDependency

from actors.daemon.metrics import Metrics
from actors.http.access.audit import AuditLog, AuditTrail
from actors.http.access.auth import Principal
from actors.http.services.idempotency import Idempotency
from actors.http.services.transfers import Transfers
from actors.http.services.webhook_service import WebhookService
from actors.messages import CompanyState, CompanyStatus, FindCompany
from actors.sharing import SharedSlots
from supervisor import ActorRef, System
from supervisor import Request as Ask
from supervisor.errors import NoSuchActor


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long to wait for a reply, in seconds."""

    ask_s: float = 5.0
    """Replies that come from memory or one database statement."""
    session_s: float = 20.0
    """Start, stop, restart, logout, a health round trip."""
    initialize_s: float = 60.0
    """Until WhatsApp gave a QR or pairing code."""
    send_s: float = 30.0
    """Until WhatsApp acknowledged a message and its state is committed."""
    ready_s: float = 3.0
    connected_s: float = 15.0
    """Until a company that is reconnecting is connected."""
    inquiry_s: float = 15.0
    """Until WhatsApp has answered a query."""


class RemovalStore(Protocol):
    """What is stored of removed companies."""

    async def erase(self, company_id: str) -> None:
        """Erase all that is stored of the company. Raises StorageUnavailable; the regular sweep then finishes the work."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """The collaborators of all routes."""

    directory: ActorRef
    events: ActorRef
    limiter: ActorRef
    health: ActorRef
    system: System
    metrics: Metrics
    idempotency: Idempotency
    audit: AuditTrail
    audit_log: AuditLog
    transfers: Transfers
    requests: SharedSlots
    """Requests under way, of all keys."""
    webhooks: WebhookService
    removals: RemovalStore
    waits: Waits
    act_on_self: Callable[[str, str], bool]
    """Schedule an action (name, path) on the HTTP actor itself, late enough for the response to go out first. False: it is for another
    actor.
    """
    may_wait: trio.Semaphore
    """How many requests may wait at once for companies that are reconnecting."""
    region: str | None
    """The region of numbers without a country code, like RU."""

    async def find(self, company_id: str) -> ActorRef:
        """Return the company's actor; that of a connected company is found without the directory. Refused: `no_such_company`."""
        if self.metrics.state_of(company_id) is CompanyState.CONNECTED:
            with suppress(NoSuchActor):
                return self.system.ref(f"/companies/{company_id}")
        return await self.directory.ask(FindCompany(company_id), timeout=self.waits.ask_s)

    async def order(self, company_id: str, request: Ask[CompanyStatus]) -> CompanyStatus:
        """Send the company an order and return its new status."""
        company = await self.find(company_id)
        return await company.ask(request, timeout=self.waits.session_s)


Injected = NamedDependency[Backends]
"""How a handler declares its parameter ``backends``."""


def note_read(request: Request[Any, Principal, Any], backends: Backends, action: str, target: str) -> None:
    """Write to the audit log that the request's key read this."""
    client = request.scope["client"]
    address = client[0] if client else "unknown"
    backends.audit.read(key_id=request.auth.key_id, action=action, target=target, address=address)


def note(request: Request[Any, Principal, Any], backends: Backends, action: str, target: str) -> None:
    """Write to the audit log that the request's key is about to do this."""
    client = request.scope["client"]
    address = client[0] if client else "unknown"
    backends.audit.record(key_id=request.auth.key_id, action=action, target=target, address=address)
