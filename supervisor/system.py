"""`System`: a whole tree, addressed by paths."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from random import Random
from typing import Any, TypeVar, final

import trio

from supervisor.actor import Actor
from supervisor.cell import ActorCell
from supervisor.clock import fast_clock, turn_seconds
from supervisor.crash import killed
from supervisor.dynamic import DynamicSupervisor
from supervisor.errors import ActorStopped, AskTimeout, NoSuchActor, NotSupported
from supervisor.events import Events, Subscriber
from supervisor.mailbox import Pool
from supervisor.node import Node
from supervisor.ordered import OrderedSupervisor
from supervisor.phase import Phase
from supervisor.reacting import ReactingSupervisor, start_failure
from supervisor.ref import ActorRef
from supervisor.registry import Registry
from supervisor.report import KILLED, SHUTDOWN, ActorSnapshot, ExitReason
from supervisor.slot import Slot
from supervisor.snapshot import snapshot
from supervisor.spec import ChildSpec, DynamicSupervisorSpec, SupervisorSpec
from supervisor.supervision import SupervisorCell
from supervisor.supervisor_ref import SupervisorRef
from supervisor.timers import Timers
from supervisor.trace import Tracer

T = TypeVar("T")


@final
class System:
    """A running tree, from `open_system`."""

    def __init__(
        self,
        root: SupervisorSpec | DynamicSupervisorSpec,
        *,
        on_event: Subscriber | None,
        seed: int | None,
        shutdown_timeout: float,
        stuck_after: float,
        freeze_gc: bool,
    ) -> None:
        self.now = fast_clock(trio.lowlevel.current_clock())
        """The clock of all deadlines and ages; only differences mean something."""
        self.spare_queues: Pool = []
        self._served_at_once = 0
        self._context = copy_context()
        self._unix_offset = time.time() - self.now()
        self.quantum = turn_seconds(trio.lowlevel.current_clock())
        self._freeze_gc = freeze_gc
        self.stuck_after = stuck_after
        self.random = Random(seed)  # noqa: S311 - jitter, not secrets
        self.timers = Timers(self.now)
        self.events = Events(self.now, trio.current_time() - self.now())
        self.registry = Registry()
        self.undead: dict[str, Node] = {}
        """Places that were forgotten while their incarnation was stuck: there is no second one beside it, not even by a new place."""
        self._up = trio.Event()
        self._terminated = trio.Event()
        self._reason: ExitReason = KILLED
        if on_event is not None:
            self.events.subscribe(on_event)
        self.root = self.make_node(None, ChildSpec("root", root, shutdown=shutdown_timeout))

    # --- addressing ---------------------------------------------------------------------------------------------------

    def ref(self, path: str) -> ActorRef:
        """The actor at ``path``, which need not run yet. Raises `NoSuchActor`."""
        return self.node(path).ref

    def supervisor(self, path: str = "/") -> SupervisorRef:
        """The supervisor at ``path``. Raises `NoSuchActor`, also when an actor is there."""
        node = self.node(path)
        if not isinstance(node, ReactingSupervisor):
            raise NoSuchActor(f"(supervisor) {path}")
        return SupervisorRef(node)

    def node(self, path: str) -> Node:
        """The place itself, for this package. Raises `NoSuchActor`."""
        node: Node | None = self.root if path.startswith("/") else None
        for part in path.split("/")[1:] if path != "/" else ():
            node = node.children.get(part) if isinstance(node, SupervisorCell) else None
        if node is None:
            raise NoSuchActor(path)
        return node

    def register(self, name: str, ref: ActorRef) -> None:
        """Give an actor a name. Raises `NameTaken`, `ActorStopped`, `TooMany`."""
        self.registry.register(name, ref)

    def unregister(self, name: str) -> None:
        """Free a name. Raises `NoSuchActor`."""
        self.registry.unregister(name)

    def whereis(self, name: str) -> ActorRef | None:
        """The actor of that name."""
        return self.registry.whereis(name)

    # --- watching -----------------------------------------------------------------------------------------------------

    def snapshot(self, path: str = "/") -> ActorSnapshot:
        """What is at ``path`` and below it, as of now. Reads only; asks no actor. Raises `NoSuchActor`."""
        return snapshot(self.node(path))

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Have ``callback`` called with each `LifecycleEvent`, at once; it must not block. Returns what ends it."""
        return self.events.subscribe(callback)

    def unix(self, moment: float) -> float:
        """Unix seconds of a moment of `now`."""
        return moment + self._unix_offset

    def unix_now(self) -> float:
        return self.unix(self.now())

    # --- intervening --------------------------------------------------------------------------------------------------

    def kill(self, path: str, why: str = "killed") -> bool:
        """Have the incarnation at ``path`` crash now, whatever it is doing; its supervisor reacts as to any crash.

        False when there is no incarnation. Of a supervisor, all that is below it is killed too. Raises `NoSuchActor`.
        """
        node = self.node(path)
        was_live = node.is_live
        node.kill(killed(why, node))
        return was_live

    async def restart(self, path: str) -> None:
        """Stop what is at ``path`` in order and start it again, not counted against the intensity.

        Raises `NoSuchActor`, `StartFailed`, `NotSupported` (the root), `ActorStopped` (its supervisor is stopping).
        """
        node = self.node(path)
        if node.parent is None:
            raise NotSupported("the root supervisor cannot be restarted")
        await self.supervisor(node.parent.path).cycle_child(node.spec.id)

    def suspend(self, path: str) -> None:
        """Have the actor take no messages until `resume` (or its restart). Raises `NoSuchActor`, `NotSupported`."""
        self._cell(path).suspend()

    def resume(self, path: str) -> None:
        """End a `suspend`. Raises `NoSuchActor`, `NotSupported`."""
        self._cell(path).resume()

    async def wait_terminated(self) -> ExitReason:
        """Why the root supervisor ended, once it has: its intensity was spent, or it was stopped."""
        await self._terminated.wait()
        return self._reason

    async def stop(self, reason: ExitReason = SHUTDOWN) -> None:
        """Stop the whole tree in order and wait until it is done."""
        if self._freeze_gc:
            gc.freeze()  # what ends is freed without the collector, which would look through all of it meanwhile
        self.root.halt(reason, returning=False)
        await self._terminated.wait()

    async def get_state(self, path: str, *, timeout: float = 5.0) -> Any:
        """What `Actor.state` returns, taken between two messages, also while suspended.

        Raises `NoSuchActor`, `NotSupported`, `ActorStopped`, `AskTimeout` (it is busy), and what `state` raises.
        """
        return await self.inquire(path, lambda actor: actor.state(), timeout=timeout)

    async def inquire(self, path: str, function: Callable[[Actor], T], *, timeout: float = 5.0) -> T:
        """``function(actor)``, called between two messages, ahead of all that are queued; also while suspended. Raises as `get_state`."""
        cell = self._cell(path)
        slot: Slot[T] = Slot()
        if cell.phase in (Phase.IDLE, Phase.FAILED, Phase.GONE):
            raise ActorStopped(path)
        cell.inquire(function, slot)
        with trio.move_on_after(timeout):
            return await slot.wait()
        raise AskTimeout(path, "an inquiry", timeout)

    def trace(self, path: str, tracer: Tracer | None) -> None:
        """Have ``tracer`` called with a `TraceEvent` after each message the actor handles; None ends it. It must not block.

        Raises `NoSuchActor`, `NotSupported`.
        """
        self._cell(path).tracer = tracer

    def _cell(self, path: str) -> ActorCell:
        node = self.node(path)
        if not isinstance(node, ActorCell):
            raise NotSupported(f"{path} is a supervisor; suspend, resume, get_state, inquire and trace are for actors")
        return node

    # --- the life of the tree -----------------------------------------------------------------------------------------

    def make_node(self, parent: SupervisorCell | None, spec: ChildSpec) -> Node:
        """A new place below ``parent``, with the places of its declared children."""
        path = "/" if parent is None else parent.path_of(spec.id)
        if isinstance(spec.start, SupervisorSpec):
            return OrderedSupervisor(self, parent, spec, path, spec.start)
        if isinstance(spec.start, DynamicSupervisorSpec):
            return DynamicSupervisor(self, parent, spec, path, spec.start)
        assert parent is not None
        return ActorCell(self, parent, spec, path)

    def is_time_to_yield(self) -> bool:
        """Whether requests have been served without a checkpoint often enough."""
        self._served_at_once += 1
        return self._served_at_once % 16 == 0

    def start_task(self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: str) -> None:
        """Start a task of the tree. It sees the context variables of whoever opened the system, not those of its cause."""
        self._context.run(self.nursery.start_soon, async_fn, *args, name=name)

    def root_started(self) -> None:
        self._up.set()

    def root_ended(self, reason: ExitReason) -> None:
        self._reason = reason
        self.root.enter(Phase.IDLE)
        self.root.retire()
        self._up.set()
        self._terminated.set()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Run the tree until its root has ended, shielded from cancellation: it ends in order or not at all."""
        try:
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as self.nursery:
                    self.nursery.start_soon(self.timers.run, name="timers")
                    self.root.launch()
                    task_status.started()
                    await self._terminated.wait()
                    self.nursery.cancel_scope.cancel()
        finally:
            self._terminated.set()
            self._up.set()

    async def wait_started(self) -> None:
        """Return once everything is started. Raises `StartFailed`, also when the tree is stopped before."""
        await self._up.wait()
        if not self.root.is_up and not self.root.was_ignored:
            raise start_failure(self.root, self._reason)
        if self._freeze_gc:
            gc.collect()
            gc.freeze()
