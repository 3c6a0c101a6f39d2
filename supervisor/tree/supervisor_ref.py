"""`SupervisorRef`: the handle of a supervisor, valid across its restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast, final

from trio.lowlevel import checkpoint, checkpoint_if_cancelled

from supervisor.introspection.report import ChildCounts, ChildInfo
from supervisor.introspection.snapshot import child_info
from supervisor.messaging.future import Future
from supervisor.tree import requests
from supervisor.tree.spec import ChildSpec, DynamicSupervisorSpec, SupervisorSpec
from supervisor.tree.validation import check_instance

if TYPE_CHECKING:
    from supervisor.messaging.ref import ActorRef
    from supervisor.tree.restarts import RestartingSupervisor
    from supervisor.tree.supervisor import Request

T = TypeVar("T")


@final
class SupervisorRef:
    """The operations of a supervisor. While it is being restarted, requests wait until it is back."""

    __slots__ = ("_cell",)

    def __init__(self, cell: RestartingSupervisor) -> None:
        self._cell = cell

    @property
    def path(self) -> str:
        """The absolute path of the supervisor."""
        return self._cell.path

    def child(self, child_id: str) -> ActorRef:
        """Return the child of this id. Raises `NoSuchActor`."""
        return requests.find(self._cell, child_id).ref

    async def start_child(self, spec: ChildSpec) -> ActorRef:
        """Add a child, as the last one, and wait until it is ready.

        A child that ignores its start is no failure: the ref is then of an actor which does not run. Raises
        `AlreadyStarted`, `AlreadyPresent`, `TooManyChildren`, `SpecError`, `StartFailed` (the child is not kept),
        `ActorStopped`.
        """
        check_instance("spec", spec, ChildSpec)
        return await self._request(requests.start_child, spec)

    async def terminate_child(self, child_id: str) -> None:
        """Stop a child, or its restart, and wait until it has ended. Has no effect on a child that does not run.

        An ordered supervisor keeps the spec (`restart_child` starts it again) unless the child is temporary; a dynamic
        one forgets the child. Raises `NoSuchActor`, `ChildStuck`, `ActorStopped`.
        """
        await self._request(requests.terminate_child, child_id)

    async def restart_child(self, child_id: str) -> ActorRef:
        """Start a child that does not run and wait until it is ready.

        Raises `ChildRunning`, `ChildRestarting`, `NoSuchActor`, `StartFailed` (the spec is kept), `ActorStopped`.
        """
        return await self._request(requests.restart_child, child_id)

    async def delete_child(self, child_id: str) -> None:
        """Forget a child that does not run. Raises `ChildRunning`, `ChildRestarting`, `NoSuchActor`, `ActorStopped`."""
        await self._request(requests.delete_child, child_id)

    async def cycle_child(self, child_id: str) -> ActorRef:
        """Stop a child if it runs, start it again, wait until it is ready. Not counted against the intensity.

        Raises `NoSuchActor`, `StartFailed`, `ChildRestarting` (its turn to start comes anyway), `ActorStopped`.
        """
        return await self._request(requests.cycle_child, child_id)

    async def reconfigure(self, spec: SupervisorSpec | DynamicSupervisorSpec) -> None:
        """Change the supervisor's own spec while it runs: strategy, intensity, auto_shutdown, children.

        Running children go on and take their new spec at their next start; new ones are added but not started
        (`restart_child` does that); those that the spec no longer names stay until the supervisor restarts. A spec
        whose function returns `IGNORE` changes nothing. Raises `SpecError`, or the errors of the spec's function, with
        nothing changed; `ActorStopped`.
        """
        await self._request(requests.reconfigure, spec)

    def which_children(self) -> tuple[ChildInfo, ...]:
        """Return all children, in start order."""
        return tuple(child_info(node) for node in self._cell.children.values())

    def count_children(self) -> ChildCounts:
        """Return how many children there are, by kind."""
        nodes = self._cell.children.values()
        supervisors = sum(node.kind == "supervisor" for node in nodes)
        active = sum(node.is_live for node in nodes)
        return ChildCounts(specs=len(nodes), active=active, supervisors=supervisors, workers=len(nodes) - supervisors)

    def get_childspec(self, child_id: str) -> ChildSpec:
        """Return the spec of a child. Raises `NoSuchActor`."""
        return requests.find(self._cell, child_id).spec

    def __repr__(self) -> str:
        return f"<SupervisorRef {self._cell.path}>"

    async def _request(self, action: Callable[[RestartingSupervisor, Any, Future[T]], None], what: Any) -> T:
        future: Future[T] = Future()
        await checkpoint_if_cancelled()
        self._cell.request(cast("Request", action), what, future)
        if future.is_settled and self._cell.runtime.is_time_to_yield():
            await checkpoint()
        return await future.wait()
