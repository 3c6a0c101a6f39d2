"""One company actor in a small tree of fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from trio.testing import wait_all_tasks_blocked

from actors.company.actor import CompanyActor
from actors.messages import (
    CompanyStatus,
    GetStatus,
    SendText,
)
from supervisor import ActorRef, Backoff, ChildSpec, Intensity, SupervisorSpec, System, open_system
from tests.actors.fakes import FakePlacement, FakeStorage, RecordingActor, World

COMPANY = "962302"
TEXT = SendText(to="79000000002@s.whatsapp.net", phone="+79000000002", text="hello")


@dataclass
class Running:
    world: World
    ref: ActorRef
    system: System

    async def status(self) -> CompanyStatus:
        return await self.ref.ask(GetStatus())

    async def settle(self) -> CompanyStatus:
        """The status once all tasks are blocked."""
        await wait_all_tasks_blocked()
        return await self.status()


@asynccontextmanager
async def company(world: World, *, running: bool = True) -> AsyncIterator[Running]:
    def make(context: Any) -> CompanyActor:
        return CompanyActor(COMPANY, ports=world.ports(context.ref_to), running=running)

    spec = SupervisorSpec(
        [
            ChildSpec(
                id="storage",
                start=lambda _: FakeStorage(world.stored, lambda m: world.storage_hook(m), world.not_wanted),
            ),
            ChildSpec(id="events", start=lambda _: RecordingActor(world.published)),
            ChildSpec(id="directory", start=lambda _: RecordingActor(world.directory)),
            ChildSpec(id="placement", start=lambda _: FakePlacement(world.placed, world.versions)),
            ChildSpec(id=COMPANY, start=make, backoff=Backoff(minimum=0.1, maximum=1.0)),
        ],
        intensity=Intensity(max_restarts=5, within=60.0),
    )
    async with open_system(spec) as system:
        yield Running(world, system.ref(f"/{COMPANY}"), system)
