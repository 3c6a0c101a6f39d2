"""Monitors and links: a `Down` message when an incarnation ends, or a shared crash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from supervisor.introspection.crash import ended_by_force
from supervisor.introspection.report import NOPROC, ExitReason
from supervisor.messaging.mailbox import Envelope
from supervisor.messaging.timer import NOTHING

if TYPE_CHECKING:
    from supervisor.messaging.ref import ActorRef
    from supervisor.running.cell import ActorCell
    from supervisor.tree.node import Node


@dataclass(frozen=True, slots=True)
class Down:
    """The watched incarnation ended. ``reason.kind`` is `noproc` when there was none to watch."""

    ref: ActorRef
    path: str
    reason: ExitReason
    monitor: Monitor | Link


class Watch(Envelope):
    """Held by the watching incarnation and known to the watched one; ends with either."""

    __slots__ = ("_down", "node", "watcher")

    def __init__(self, watcher: ActorCell, node: Node) -> None:
        self.watcher = watcher
        self.node = node
        self._down: Down | None = None

    def notify(self, reason: ExitReason) -> None:
        """Called when the watched incarnation has ended."""
        raise NotImplementedError

    def end(self) -> None:
        """End the watch; a `Down` that is queued already is not delivered either."""
        self._down = None
        if self.node.watchers is not None:
            self.node.watchers.pop(self, None)
        self.watcher.hold().watches.pop(self, None)

    def take(self) -> object:
        """Return the message for the actor; `NOTHING` when the watch has ended in the meantime."""
        down, self._down = self._down, None
        self.watcher.hold().watches.pop(self, None)
        return NOTHING if down is None else down

    def deliver(self, down: Down) -> None:
        self._down = down
        self.watcher.box.deliver(self)


@final
class Monitor(Watch):
    """A watch over one incarnation, from `Context.monitor`. Ends with the incarnation that made it."""

    __slots__ = ()

    def cancel(self) -> None:
        """End the watch; a `Down` that is queued already is not delivered either."""
        self.end()

    def notify(self, reason: ExitReason) -> None:
        """Queue the `Down` message."""
        self.deliver(Down(self.node.ref, self.node.path, reason, self))


@final
class Link(Watch):
    """One end of a link, from `Context.link`: an abnormal end of one incarnation crashes the other."""

    __slots__ = ("peer",)

    def __init__(self, watcher: ActorCell, node: Node) -> None:
        super().__init__(watcher, node)
        self.peer: Link | None = None

    def unlink(self) -> None:
        """Undo the link, on both sides."""
        peer, self.peer = self.peer, None
        self.end()
        if peer is not None:
            peer.peer = None
            peer.end()

    def notify(self, reason: ExitReason) -> None:
        """Crash the watcher if the end was abnormal; queue a `Down` instead if it traps exits."""
        if self.watcher.traps_exits:
            self.deliver(Down(self.node.ref, self.node.path, reason, self))
            return
        self.watcher.hold().watches.pop(self, None)
        if not reason.is_expected:
            why = f"linked {self.node.path} ended: {reason}"
            self.watcher.kill(ended_by_force("crashed", "LinkedActorEnded", why, self.watcher))


def begin_monitor(watcher: ActorCell, node: Node) -> Monitor:
    """Monitor the present incarnation of ``node``; notify at once when there is none."""
    monitor = Monitor(watcher, node)
    watcher.hold().add_watch(monitor)
    if node.is_live:
        _attach(monitor)
    else:
        monitor.notify(NOPROC)
    return monitor


def begin_link(watcher: ActorCell, other: ActorCell) -> Link:
    """Link two live incarnations."""
    mine, theirs = Link(watcher, other), Link(other, watcher)
    mine.peer, theirs.peer = theirs, mine
    for link in (mine, theirs):
        link.watcher.hold().add_watch(link)
        _attach(link)
    return mine


def _attach(watch: Watch) -> None:
    if watch.node.watchers is None:
        watch.node.watchers = {}
    watch.node.watchers[watch] = None
