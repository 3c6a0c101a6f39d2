"""A company actor's collaborators and limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from random import Random
from typing import Protocol

import trio

from actors.company.link import EngineLink
from actors.disk.state import DiskState
from actors.messages import CompanyState
from actors.versions.state import VersionState
from config.sections import CompanySettings
from storage.tables.auth_state import AuthState
from supervisor import ActorRef


class CompanyMetrics(Protocol):
    """What a company counts (actors.daemon.metrics.Metrics does)."""

    def message_sent(self, company_id: str, seconds: float | None = None) -> None: ...
    def status_changed(self, company_id: str, status: CompanyState) -> None: ...
    def message_received(self, company_id: str) -> None: ...
    def qr_generated(self, company_id: str) -> None: ...
    def reconnect_failed(self, company_id: str) -> None: ...
    def reconnect_attempted(self, company_id: str) -> None: ...
    def error(self, code: str, company_id: str | None = None) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyPorts:
    """The collaborators every company actor shares."""

    storage: ActorRef
    events: ActorRef
    directory: ActorRef
    placement: ActorRef
    open_link: Callable[[str, str], AbstractAsyncContextManager[EngineLink]]
    """``(socket_path, company_id)`` -> the engine connection (actors.company.link.open_link)."""
    load_auth: Callable[[str], Awaitable[AuthState]]
    """Read a company's auth state without the storage actor. Raise storage.errors.StorageUnavailable,
    or UnreadableState when the stored state cannot be trusted or read."""
    connect_gate: trio.CapacityLimiter
    """Bounds how many companies open a session or log in again at once."""
    metrics: CompanyMetrics
    disk: DiskState
    versions: VersionState
    """Which version of WhatsApp Web is announced; learns whether WhatsApp accepts it."""
    settings: CompanySettings
    storage_timeout_s: float
    """How long a commit or a lease may take before it is asked for again, or the caller is refused because storage is away."""
    engine_timeout_s: float
    """How long to wait for a slot in a running engine process."""
    file_timeout_s: float
    """Time for a file to or from WhatsApp."""
    media_retention_s: float
    """How long the data needed to fetch a file is kept."""
    random: Random
    wall_clock: Callable[[], float]
    owner: str
    """This daemon, as leases know it."""
    proxy_of: Callable[[str], str | None]
    device_name: str
