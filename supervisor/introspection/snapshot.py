"""Makes snapshots by reading the data directly: actors are not asked, so none can delay a snapshot."""

from __future__ import annotations

from typing import Literal

from supervisor.introspection.report import ActorSnapshot, ChildInfo
from supervisor.running.cell import ActorCell
from supervisor.running.receive_loop import RECENT
from supervisor.tree.node import Node
from supervisor.tree.phase import Phase
from supervisor.tree.supervisor import SupervisorCell

State = Literal["starting", "running", "restarting", "suspended", "stopping", "stopped", "failed"]


def state_of(node: Node) -> State:
    """Return the state that snapshots show."""
    match node.phase:
        case Phase.PENDING:
            return "starting" if node.is_new else "restarting"
        case Phase.BACKOFF:
            return "restarting"
        case Phase.STARTING:
            return "starting"
        case Phase.RUNNING:
            return "suspended" if isinstance(node, ActorCell) and node.suspended else "running"
        case Phase.STOPPING:
            return "stopping"
        case Phase.IDLE | Phase.GONE:
            return "stopped"
        case Phase.FAILED:
            return "failed"


def child_info(node: Node) -> ChildInfo:
    """Return one line of `which_children`."""
    return ChildInfo(
        id=node.spec.id, path=node.path, kind=node.kind, state=state_of(node), incarnation=node.incarnation
    )


def snapshot(node: Node, *, with_children: bool = True) -> ActorSnapshot:
    """Return a snapshot of the place and everything below it."""
    now = node.runtime.now()
    cell = node if isinstance(node, ActorCell) else None
    in_hand = cell is not None and cell.current is not None
    children = node.children.values() if isinstance(node, SupervisorCell) and with_children else ()
    return ActorSnapshot(
        path=node.path,
        id=node.spec.id,
        kind=node.kind,
        state=state_of(node),
        since=node.runtime.unix(node.since),
        uptime=now - node.up_since if node.phase is Phase.RUNNING else None,
        incarnation=node.incarnation,
        restarts=node.restarts,
        restarts_in_window=node.window.count(now) if node.window is not None else 0,
        is_stuck=node.is_stuck,
        mailbox_depth=len(node.box),
        mailbox_capacity=node.box.capacity,
        oldest_message_age=node.box.oldest_age(),
        dropped=node.box.dropped,
        stashed=len(cell.stash) if cell is not None and cell.stash is not None else 0,
        handled=cell.handled if cell is not None else 0,
        refused=cell.refused if cell is not None else 0,
        handler_seconds=cell.busy if cell is not None else 0.0,
        current_message=node.message_in_hand,
        current_message_seconds=now - cell.turn_started if cell is not None and in_hand else None,
        recent_messages=_recent(cell) if cell is not None else (),
        last_crash=node.last_crash,
        children=tuple(snapshot(child) for child in children),
    )


def _recent(cell: ActorCell) -> tuple[str, ...]:
    recent = cell.recent
    if recent is None:
        return ()
    oldest = cell.handled % RECENT
    return tuple(kind.__qualname__ for kind in (*recent[oldest:], *recent[:oldest]) if kind is not None)
