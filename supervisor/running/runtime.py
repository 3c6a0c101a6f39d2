"""`Runtime`: the state that all places of one tree share. Internal; users have `System`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from random import Random
from typing import TYPE_CHECKING, Any, final

import trio

from supervisor.introspection.events import Events, Subscriber
from supervisor.introspection.report import KILLED, ExitReason
from supervisor.messaging.mailbox import Pool
from supervisor.running.cell import ActorCell
from supervisor.running.clock import fast_clock, turn_seconds
from supervisor.running.registry import Registry
from supervisor.running.timers import Timers
from supervisor.tree.dynamic import DynamicSupervisor
from supervisor.tree.node import Node
from supervisor.tree.ordered import OrderedSupervisor
from supervisor.tree.phase import Phase
from supervisor.tree.restarts import start_failure
from supervisor.tree.spec import ChildSpec, DynamicSupervisorSpec, SupervisorSpec
from supervisor.tree.supervisor import SupervisorCell

if TYPE_CHECKING:
    from supervisor.running.system import System

_REQUESTS_PER_CHECKPOINT = 16


@final
class Runtime:
    """The clock, the timers, the names, the events and the nursery of one tree."""

    def __init__(
        self,
        system: System,
        root: SupervisorSpec | DynamicSupervisorSpec,
        *,
        on_event: Subscriber | None,
        seed: int | None,
        shutdown_timeout: float,
        stuck_after: float,
    ) -> None:
        self.system = system
        self.now = fast_clock(trio.lowlevel.current_clock())
        """The clock of all deadlines and ages; only differences are meaningful."""
        self.spare_queues: Pool = []
        self.quantum = turn_seconds(trio.lowlevel.current_clock())
        self.stuck_after = stuck_after
        self.random = Random(seed)  # noqa: S311 - jitter, not secrets
        self.timers = Timers(self.now)
        self.events = Events(self.now, trio.current_time() - self.now())
        self.registry = Registry()
        self.stuck_forgotten: dict[str, Node] = {}
        """Places that were forgotten while their incarnation was stuck. No new incarnation starts at their path until it has ended."""
        self.terminated = trio.Event()
        self.reason: ExitReason = KILLED
        """Why the root ended; valid once ``terminated`` is set."""
        self._up = trio.Event()
        self._served_at_once = 0
        self._context = copy_context()
        self._unix_offset = time.time() - self.now()
        if on_event is not None:
            self.events.subscribe(on_event)
        self.root = self.make_node(None, ChildSpec("root", root, shutdown=shutdown_timeout))

    def make_node(self, parent: SupervisorCell | None, spec: ChildSpec) -> Node:
        """Make a place below ``parent``, with the places of its declared children."""
        path = "/" if parent is None else parent.path_of(spec.id)
        if isinstance(spec.start, SupervisorSpec):
            return OrderedSupervisor(self, parent, spec, path, spec.start)
        if isinstance(spec.start, DynamicSupervisorSpec):
            return DynamicSupervisor(self, parent, spec, path, spec.start)
        assert parent is not None
        return ActorCell(self, parent, spec, path)

    def unix(self, moment: float) -> float:
        """Return the Unix seconds of a moment of `now`."""
        return moment + self._unix_offset

    def unix_now(self) -> float:
        """Return the present Unix seconds."""
        return self.unix(self.now())

    def is_time_to_yield(self) -> bool:
        """Count a request that was served without a checkpoint. Return True after every so many of them."""
        self._served_at_once += 1
        return self._served_at_once % _REQUESTS_PER_CHECKPOINT == 0

    def start_task(self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: str) -> None:
        """Start a task of the tree. It sees the context variables of the task that opened the system, not of the task that caused it."""
        self._context.run(self.nursery.start_soon, async_fn, *args, name=name)

    def root_started(self) -> None:
        """The root supervisor is ready."""
        self._up.set()

    def root_ended(self, reason: ExitReason) -> None:
        """The root supervisor has ended."""
        self.reason = reason
        self.root.enter(Phase.IDLE)
        self.root.retire()
        self._up.set()
        self.terminated.set()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Run the tree until its root has ended, shielded from cancellation, so that it always ends in an orderly way."""
        try:
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as self.nursery:
                    self.nursery.start_soon(self.timers.run, name="timers")
                    self.root.launch()
                    task_status.started()
                    await self.terminated.wait()
                    self.nursery.cancel_scope.cancel()
        finally:
            self.terminated.set()
            self._up.set()

    async def wait_started(self) -> None:
        """Return once every child is started. Raises `StartFailed`, also when the tree is stopped before."""
        await self._up.wait()
        if not self.root.is_up and not self.root.was_ignored:
            raise start_failure(self.root, self.reason)
