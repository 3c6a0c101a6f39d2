"""The requests to a supervisor. Each function runs in the supervisor's task; it settles the future, now or later, or raises."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from supervisor.errors import (
    ActorStopped,
    AlreadyPresent,
    AlreadyStarted,
    ChildRestarting,
    ChildRunning,
    ChildStuck,
    NoSuchActor,
    SpecError,
    SupervisorError,
)
from supervisor.introspection.report import CYCLED, SHUTDOWN
from supervisor.tree.decide import Stop
from supervisor.tree.declaration import redeclare
from supervisor.tree.dynamic import DynamicSupervisor
from supervisor.tree.node import Node
from supervisor.tree.ordered import OrderedSupervisor
from supervisor.tree.phase import Phase
from supervisor.tree.restarts import RestartingSupervisor
from supervisor.tree.spec import ChildSpec, DynamicSupervisorSpec, SupervisorSpec
from supervisor.tree.validation import check_significant

if TYPE_CHECKING:
    from supervisor.messaging.future import Future
    from supervisor.messaging.ref import ActorRef

TreeSpec = SupervisorSpec | DynamicSupervisorSpec


def start_child(supervisor: RestartingSupervisor, spec: ChildSpec, future: Future[ActorRef]) -> None:
    """Add a child and start it."""
    present = supervisor.children.get(spec.id)
    if present is not None:
        raise _presence(present)
    path = supervisor.path_of(spec.id)
    if path in supervisor.runtime.stuck_forgotten:
        raise ChildStuck(path)
    if isinstance(supervisor, DynamicSupervisor):
        supervisor.check_room(spec)
    elif isinstance(supervisor, OrderedSupervisor):
        check_significant(spec, supervisor.tree_spec.auto_shutdown)
    node = supervisor.children[spec.id] = supervisor.runtime.make_node(supervisor, spec)
    node.start_futures = [future]
    supervisor.start_added(node)


def restart_child(supervisor: RestartingSupervisor, child_id: str, future: Future[ActorRef]) -> None:
    """Start a child that does not run."""
    node = _standing(supervisor, child_id)
    node.attempts = 0
    node.start_futures = [future]
    supervisor.start_added(node)


def delete_child(supervisor: RestartingSupervisor, child_id: str, future: Future[None]) -> None:
    """Forget a child that does not run."""
    supervisor.drop(_standing(supervisor, child_id))
    future.resolve(None)


def terminate_child(supervisor: RestartingSupervisor, child_id: str, future: Future[None]) -> None:
    """Stop a child, whatever it is doing, and keep it down."""
    node = find(supervisor, child_id)
    node.relaunch = False
    if node.is_stuck:
        if node.stop is Stop.TO_RETURN:
            node.stop = Stop.FOR_GOOD
        raise ChildStuck(node.path)
    if node.is_live:
        node.end_futures = [*(node.end_futures or ()), future]
        node.halt(SHUTDOWN, returning=False)
        return
    if node.phase in (Phase.PENDING, Phase.BACKOFF):
        node.clear_alarm()
        supervisor.emit("terminated", node, reason=SHUTDOWN)
        supervisor.fail_starters(node, ActorStopped(node.path, "was terminated before it was ready"))
    supervisor.leave_stopped(node)
    supervisor.settled(node)
    future.resolve(None)


def cycle_child(supervisor: RestartingSupervisor, child_id: str, future: Future[ActorRef]) -> None:
    """Stop a child if it runs and start it again, without counting that as a restart."""
    node = find(supervisor, child_id)
    if node.phase is Phase.PENDING:
        raise ChildRestarting(node.path)
    if node.is_stuck:
        raise ChildStuck(node.path)
    node.attempts = 0
    node.start_futures = [*(node.start_futures or ()), future]
    if node.is_live:
        node.relaunch = True
        node.halt(CYCLED, returning=True)
    elif node.phase is Phase.BACKOFF:
        node.clear_alarm()
        supervisor.resume(node)
    else:
        supervisor.start_added(node)


def reconfigure(supervisor: RestartingSupervisor, tree_spec: TreeSpec, future: Future[None]) -> None:
    """Change the spec of the supervisor itself."""
    if isinstance(supervisor, OrderedSupervisor) and isinstance(tree_spec, SupervisorSpec):
        if not redeclare(supervisor, tree_spec):
            future.resolve(None)
            return
    elif isinstance(supervisor, DynamicSupervisor) and isinstance(tree_spec, DynamicSupervisorSpec):
        supervisor.tree_spec = tree_spec
    else:
        text = f"an ordered and a dynamic supervisor cannot become each other, as {tree_spec!r} would have it"
        raise SpecError("spec", text)
    supervisor.spec = replace(supervisor.spec, start=tree_spec)
    supervisor.change_intensity()
    future.resolve(None)


def find(supervisor: RestartingSupervisor, child_id: str) -> Node:
    """Return the child of that id. Raises `NoSuchActor`."""
    node = supervisor.children.get(child_id)
    if node is None:
        raise NoSuchActor(supervisor.path_of(child_id))
    return node


def _standing(supervisor: RestartingSupervisor, child_id: str) -> Node:
    """Return the child. Raises unless it does not run and is not about to be restarted."""
    node = find(supervisor, child_id)
    if node.is_live:
        raise ChildRunning(node.path)
    if node.phase in (Phase.PENDING, Phase.BACKOFF):
        raise ChildRestarting(node.path)
    return node


def _presence(node: Node) -> SupervisorError:
    if node.phase in (Phase.IDLE, Phase.FAILED):
        return AlreadyPresent(node.path)
    return AlreadyStarted(node.path, node.ref)
