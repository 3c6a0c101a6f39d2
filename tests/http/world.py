"""A small daemon for the HTTP tests: a real supervision tree and a real server, with fakes behind the routes that hooks can change."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import trio
from litestar import Litestar
from prometheus_client import CollectorRegistry

from actors import messages as m
from actors.daemon.metrics import Metrics
from actors.http.actor import HttpActor, Stores
from actors.http.app import build_app
from config.sections import HttpSettings
from config.settings import Settings
from config.values import Bind
from supervisor import (
    Actor,
    ChildSpec,
    Context,
    DynamicSupervisorSpec,
    Intensity,
    SupervisorSpec,
    System,
    open_system,
)
from tests.http.fakes import (
    Company,
    FakeDirectory,
    FakeEvents,
    FakeHealth,
    FakeLimiter,
    MemoryAudit,
    MemoryIdempotency,
    MemoryKeys,
    MemoryMedia,
    MemoryRemovals,
    MemoryServer,
    World,
)

ADMIN_KEY = "wasup_admin000_0123456789abcdefghijklmnopqrstuvwxyzABCDEF"
A_KEY = "wasup_aaaaaaaa_0123456789abcdefghijklmnopqrstuvwxyzABCDEF"
COMPANY_A = "962302"
COMPANY_B = "962303"

QUICK = HttpSettings(
    read_timeout_s=0.5,
    keep_alive_timeout_s=0.5,
    drain_timeout_s=0.5,
    websocket_send_timeout_s=0.5,
    request_timeout_s=20.0,
)
"""Deadlines short enough to be waited for."""


@dataclass
class Daemon:
    """A running daemon."""

    world: World
    system: System
    metrics: Metrics
    port: int
    client: httpx.AsyncClient
    """A client with the admin key."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client_with(self, key: str | None) -> httpx.AsyncClient:
        """A client with another key, or with none."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60)


def sample_world() -> World:
    """Company A connected, B too, an admin key and one for A."""
    world = World(companies={COMPANY_A: Company(COMPANY_A), COMPANY_B: Company(COMPANY_B)})
    world.add_key(ADMIN_KEY)
    world.add_key(A_KEY, COMPANY_A)
    return world


@cache
def app_for(settings: HttpSettings) -> Litestar:
    """The routes, built once for all tests with these settings."""
    return build_app(settings)


def tree(
    world: World, metrics: Metrics, http: HttpSettings, changes: Mapping[str, Any], local_socket: Path | None = None
) -> SupervisorSpec:
    """The daemon's tree with fakes; paths as in the real one."""
    settings = Settings(
        **{"state_dir": Path("unused"), "bind": Bind("127.0.0.1", 0), "http": http, "default_region": "RU", **changes}
    )
    stores = Stores(
        keys=MemoryKeys(world),
        idempotency=MemoryIdempotency(world),
        audit=MemoryAudit(world),
        server=MemoryServer(world),
        media=MemoryMedia(world),
        webhooks=world.webhooks,
        removals=MemoryRemovals(world),
    )

    def http_actor(context: Context) -> Actor:
        return HttpActor(
            settings=settings,
            directory=context.ref_to("/directory"),
            events=context.ref_to("/events"),
            limiter=context.ref_to("/limiter"),
            health=context.ref_to("/health"),
            metrics=metrics,
            stores=stores,
            app=app_for(http),
            local_socket=local_socket,
        )

    return SupervisorSpec(
        [
            ChildSpec("events", lambda _: FakeEvents(world)),
            ChildSpec("limiter", lambda _: FakeLimiter(world, metrics)),
            ChildSpec("companies", DynamicSupervisorSpec()),
            ChildSpec("directory", lambda context: FakeDirectory(world, context.supervisor("/companies"))),
            ChildSpec("health", lambda _: FakeHealth(world)),
            ChildSpec("http", http_actor, shutdown=10.0),
        ],
        intensity=Intensity(100, 1.0),
    )


@asynccontextmanager
async def running(
    world: World | None = None, http: HttpSettings | None = None, *, local_socket: Path | None = None, **changes: Any
) -> AsyncGenerator[Daemon, None]:
    """A daemon for the length of a block, perhaps with a Unix socket too; ``changes``: other settings."""
    world = world or sample_world()
    metrics = Metrics(CollectorRegistry())
    async with open_system(tree(world, metrics, http or HttpSettings(), changes, local_socket)) as system:
        _, port = await system.ref("/http").ask(m.GetHttpAddress())
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            yield Daemon(world, system, metrics, port, client)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for a condition that other tasks bring about, half a minute at most."""
    with trio.fail_after(30):
        while not is_so():
            await trio.sleep(0.002)
