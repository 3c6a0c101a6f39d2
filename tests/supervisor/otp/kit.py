"""A supervisor under test, below a root that outlives it, with the vocabulary of OTP's supervisor suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from trio.testing import wait_all_tasks_blocked

from supervisor import (
    IGNORE,
    NORMAL,
    Actor,
    ActorRef,
    AutoShutdown,
    ChildSpec,
    Context,
    DynamicSupervisorSpec,
    ExitReason,
    Intensity,
    Restart,
    Strategy,
    SupervisorRef,
    SupervisorSpec,
    System,
    open_system,
)
from supervisor.tree.choices import Ignored
from tests.supervisor.probes import Crash, Journal, Probe, Stop

ONCE_IN_FIVE_SECONDS = Intensity(1, 5.0)
ABNORMAL = ExitReason("crashed", "abnormal")


class Sup:
    """The supervisor at `/sup`, which its root does not restart."""

    def __init__(self, system: System, journal: Journal) -> None:
        self.system = system
        self.journal = journal
        self.ref: SupervisorRef = system.supervisor("/sup")

    @property
    def is_alive(self) -> bool:
        return any(child.id == "sup" for child in self.system.snapshot().children)

    @property
    def reason(self) -> str:
        """The kind of reason with which it ended."""
        return self.ends("/sup")[-1]

    def ends(self, path: str) -> list[str]:
        """The kinds of reasons with which incarnations at a path ended."""
        return [
            event.reason.kind
            for event in self.journal.events
            if event.path == path and event.reason is not None and event.kind in ("stopped", "crashed", "terminated")
        ]

    def child(self, child_id: str) -> ActorRef:
        return self.ref.child(child_id)

    def path(self, child_id: str) -> str:
        return f"/sup/{child_id}"

    async def kill(self, child_id: str) -> None:
        """End a child with reason killed and wait until all is quiet."""
        self.system.kill(self.path(child_id))
        await wait_all_tasks_blocked()

    async def end(self, child_id: str, reason: ExitReason = NORMAL) -> None:
        """Have a child end by itself (by a crash, for an abnormal reason) and wait until all is quiet."""
        self.child(child_id).tell(Stop(reason) if reason.is_expected else Crash())
        await wait_all_tasks_blocked()

    async def counts(self) -> list[int]:
        """specs, active, supervisors, workers"""
        counts = self.ref.count_children()
        return [counts.specs, counts.active, counts.supervisors, counts.workers]

    async def states(self) -> dict[str, str]:
        return {child.id: child.state for child in self.ref.which_children()}

    async def incarnations(self) -> dict[str, int]:
        """The incarnation of each child that runs."""
        return {child.id: child.incarnation for child in self.ref.which_children() if child.state == "running"}


@asynccontextmanager
async def open_sup(
    children: Sequence[ChildSpec] | Callable[[], Sequence[ChildSpec] | Ignored] = (),
    *,
    strategy: Strategy = Strategy.ONE_FOR_ONE,
    intensity: Intensity = ONCE_IN_FIVE_SECONDS,
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
    shutdown: Any = None,
) -> AsyncIterator[Sup]:
    """An ordered supervisor of these children."""
    spec = SupervisorSpec(children, strategy=strategy, intensity=intensity, auto_shutdown=auto_shutdown)
    async with _open(spec, shutdown) as sup:
        yield sup


@asynccontextmanager
async def open_simple(
    *, intensity: Intensity = ONCE_IN_FIVE_SECONDS, max_children: int | None = None
) -> AsyncIterator[Sup]:
    """A dynamic supervisor, our simple_one_for_one."""
    async with _open(DynamicSupervisorSpec(intensity=intensity, max_children=max_children), None) as sup:
        yield sup


@asynccontextmanager
async def _open(spec: SupervisorSpec | DynamicSupervisorSpec, shutdown: Any) -> AsyncIterator[Sup]:
    journal = Journal()
    root = SupervisorSpec([ChildSpec("sup", spec, restart=Restart.TEMPORARY, shutdown=shutdown)])
    async with open_system(root, on_event=journal.on_event) as system:
        yield Sup(system, journal)


class Switch:
    """Makes the start of a child fail, be ignored or succeed, as the test sets it."""

    def __init__(self, mode: str = "ok") -> None:
        self.mode = mode
        self.attempts = 0

    def start(self, context: Context) -> Actor | Ignored:
        self.attempts += 1
        if self.mode == "fail":
            raise RuntimeError("start refused")
        if self.mode == "ignore":
            return IGNORE
        return Probe(context)

    def spec(self, child_id: str, **options: Any) -> ChildSpec:
        return ChildSpec(child_id, self.start, **options)
