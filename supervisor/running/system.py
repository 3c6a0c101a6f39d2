"""`System`: a whole tree, addressed by paths, and `open_system`, the block in which it runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, final

import trio

from supervisor.errors import ActorStopped, AskTimeout, NoSuchActor, NotSupported, SpecError
from supervisor.introspection.crash import killed
from supervisor.introspection.events import Subscriber
from supervisor.introspection.report import SHUTDOWN, ActorSnapshot, ExitReason
from supervisor.introspection.snapshot import snapshot
from supervisor.introspection.trace import Tracer
from supervisor.messaging.actor import Actor
from supervisor.messaging.future import Future
from supervisor.messaging.ref import ActorRef
from supervisor.running.cell import ActorCell
from supervisor.running.runtime import Runtime
from supervisor.tree.choices import INFINITY
from supervisor.tree.node import Node
from supervisor.tree.phase import Phase
from supervisor.tree.restarts import RestartingSupervisor
from supervisor.tree.spec import DynamicSupervisorSpec, SupervisorSpec
from supervisor.tree.supervisor import SupervisorCell
from supervisor.tree.supervisor_ref import SupervisorRef

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
    ) -> None:
        self._runtime = Runtime(
            self, root, on_event=on_event, seed=seed, shutdown_timeout=shutdown_timeout, stuck_after=stuck_after
        )

    # --- addressing ---------------------------------------------------------------------------------------------------

    def ref(self, path: str) -> ActorRef:
        """Return the actor at ``path``; it may not run yet. Raises `NoSuchActor`."""
        return self._node(path).ref

    def supervisor(self, path: str = "/") -> SupervisorRef:
        """Return the supervisor at ``path``. Raises `NoSuchActor`, also for an actor's path."""
        node = self._node(path)
        if not isinstance(node, RestartingSupervisor):
            raise NoSuchActor(f"(supervisor) {path}")
        return SupervisorRef(node)

    def register(self, name: str, ref: ActorRef) -> None:
        """Give an actor a name. Raises `NameTaken`, `ActorStopped`, `TooMany`."""
        self._runtime.registry.register(name, ref)

    def unregister(self, name: str) -> None:
        """Free a name. Raises `NoSuchActor`."""
        self._runtime.registry.unregister(name)

    def whereis(self, name: str) -> ActorRef | None:
        """Return the actor of that name, None when it is not registered."""
        return self._runtime.registry.whereis(name)

    # --- watching -----------------------------------------------------------------------------------------------------

    def snapshot(self, path: str = "/") -> ActorSnapshot:
        """Return the place at ``path`` and everything below it, as of now. Reads only; asks no actor. Raises `NoSuchActor`."""
        return snapshot(self._node(path))

    def subscribe(self, callback: Subscriber) -> Callable[[], None]:
        """Have ``callback`` called with each `LifecycleEvent`, at once; it must not block. Returns the function that ends this."""
        return self._runtime.events.subscribe(callback)

    def unix_now(self) -> float:
        """Return the present Unix seconds by the tree's own clock: trio's, so a test's clock moves it."""
        return self._runtime.unix_now()

    # --- intervening --------------------------------------------------------------------------------------------------

    def kill(self, path: str, why: str = "killed") -> bool:
        """Have the incarnation at ``path`` crash now, whatever it is doing; its supervisor reacts as to any crash.

        Return False when there is no incarnation. For a supervisor, everything below it is killed too. Raises
        `NoSuchActor`.
        """
        node = self._node(path)
        was_live = node.is_live
        node.kill(killed(why, node))
        return was_live

    async def restart(self, path: str) -> None:
        """Stop the place at ``path`` in an orderly way and start it again, without counting that against the intensity.

        Raises `NoSuchActor`, `StartFailed`, `NotSupported` (the root), `ActorStopped` (its supervisor is stopping).
        """
        node = self._node(path)
        if node.parent is None:
            raise NotSupported("the root supervisor cannot be restarted")
        await self.supervisor(node.parent.path).cycle_child(node.spec.id)

    def suspend(self, path: str) -> None:
        """Have the actor handle no messages until `resume` (or its restart). Raises `NoSuchActor`, `NotSupported`."""
        self._cell(path).suspend()

    def resume(self, path: str) -> None:
        """End a `suspend`. Raises `NoSuchActor`, `NotSupported`."""
        self._cell(path).resume()

    async def wait_started(self) -> None:
        """Return once every child is started. Raises `StartFailed`, also when the tree is stopped before."""
        await self._runtime.wait_started()

    async def wait_terminated(self) -> ExitReason:
        """Wait for the end of the root supervisor and return its reason: its intensity was exceeded, or it was stopped."""
        await self._runtime.terminated.wait()
        return self._runtime.reason

    async def stop(self, reason: ExitReason = SHUTDOWN) -> None:
        """Stop the whole tree in an orderly way and wait until it has ended."""
        self._runtime.root.halt(reason, returning=False)
        await self._runtime.terminated.wait()

    async def get_state(self, path: str, *, timeout: float = 5.0) -> Any:
        """Return the result of `Actor.state`, called between two messages, also while suspended.

        Raises `NoSuchActor`, `NotSupported`, `ActorStopped`, `AskTimeout` (the actor is busy), and the errors of
        `state`.
        """
        return await self.inquire(path, lambda actor: actor.state(), timeout=timeout)

    async def inquire(self, path: str, function: Callable[[Actor], T], *, timeout: float = 5.0) -> T:
        """Return ``function(actor)``, called between two messages, before all queued ones, also while suspended. Raises as `get_state`."""
        cell = self._cell(path)
        future: Future[T] = Future()
        if cell.phase in (Phase.IDLE, Phase.FAILED, Phase.GONE):
            raise ActorStopped(path)
        cell.inquire(function, future)
        with trio.move_on_after(timeout):
            return await future.wait()
        raise AskTimeout(path, "an inquiry", timeout)

    def trace(self, path: str, tracer: Tracer | None) -> None:
        """Have ``tracer`` called with a `TraceEvent` after each message the actor handles; None ends it. It must not block.

        Raises `NoSuchActor`, `NotSupported`.
        """
        self._cell(path).tracer = tracer

    def _cell(self, path: str) -> ActorCell:
        node = self._node(path)
        if not isinstance(node, ActorCell):
            raise NotSupported(f"{path} is a supervisor; suspend, resume, get_state, inquire and trace are for actors")
        return node

    def _node(self, path: str) -> Node:
        """Return the place at ``path``. Raises `NoSuchActor`."""
        node: Node | None = self._runtime.root if path.startswith("/") else None
        for part in path.split("/")[1:] if path != "/" else ():
            node = node.children.get(part) if isinstance(node, SupervisorCell) else None
        if node is None:
            raise NoSuchActor(path)
        return node


def open_system(
    root: SupervisorSpec | DynamicSupervisorSpec,
    *,
    on_event: Subscriber | None = None,
    seed: int | None = None,
    shutdown_timeout: float = INFINITY,
    stuck_after: float = 5.0,
    wait_started: bool = True,
) -> AbstractAsyncContextManager[System]:
    """Run a tree within an ``async with`` block.

    The block is entered once every child is started, in order (`StartFailed` otherwise). With ``wait_started`` False it
    is entered at once: the body awaits `System.wait_started`, and can stop a tree that does not come up. Leaving the
    block, in any way, stops the tree in order. The stop is shielded from cancellation and bounded by
    ``shutdown_timeout`` seconds, after which all actors are killed.

    The body's own exception leaves the block unchanged, not in a group. The tree's end does not end the body: see
    `System.wait_terminated`. ``seed`` makes the jitter of back-offs repeatable. An incarnation that has not ended
    ``stuck_after`` seconds after its cancellation is reported as ``stuck``; the block cannot be left before its task
    has ended.
    """
    if not stuck_after >= 0:
        raise SpecError("stuck_after", f"must be a number of seconds of at least 0, or inf, not {stuck_after!r}")
    system = partial(
        System,
        root,
        on_event=on_event,
        seed=seed,
        shutdown_timeout=shutdown_timeout,
        stuck_after=stuck_after,
    )
    return _OpenSystem(system, wait_started=wait_started)


@final
class _OpenSystem(AbstractAsyncContextManager[System]):
    def __init__(self, make_system: Callable[[], System], *, wait_started: bool) -> None:
        self._make_system = make_system
        self._wait_started = wait_started
        self._nursery_block = trio.open_nursery()

    async def __aenter__(self) -> System:
        system = self._system = self._make_system()
        nursery = await self._nursery_block.__aenter__()
        try:
            await nursery.start(system._runtime.run)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            if self._wait_started:
                await system.wait_started()
        except BaseException:
            await self._leave()
            raise
        return system

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        """Stop the tree and leave the nursery. The nursery does not get the body's exception, since it would wrap it in a group."""
        with trio.CancelScope(shield=True):
            await self._system.stop()
        await self._nursery_block.__aexit__(None, None, None)
