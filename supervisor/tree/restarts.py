"""How a supervisor reacts to what its children report: which child is started again, given up, forgotten or held against it."""

from __future__ import annotations

from supervisor.errors import ActorStopped, ChildStuck, StartFailed
from supervisor.introspection.report import EventKind, ExitReason
from supervisor.tree.choices import Restart
from supervisor.tree.node import Node
from supervisor.tree.phase import Phase
from supervisor.tree.supervisor import SupervisorCell


class RestartingSupervisor(SupervisorCell):
    """Decides whether; the two kinds of supervisors decide how."""

    __slots__ = ()

    def schedule(self, node: Node, delay: float) -> None:
        """Restart a child, and whom the strategy names besides, after ``delay`` seconds."""
        raise NotImplementedError

    def settled(self, node: Node) -> None:
        """A child that was to start or to end has done so, one way or another."""
        raise NotImplementedError

    def child_left(self, node: Node, *, significant: bool) -> None:
        """A child ended by itself and stays down (``node`` is forgotten already if it was temporary)."""

    def expects_end(self, node: Node) -> bool:
        """Whether the child is about to be stopped in any case."""
        return False

    def start_added(self, node: Node) -> None:
        """Start a child that was added, or stood still."""
        node.launch()

    def spend(self, node: Node, now: float) -> bool:
        """Count a restart; False when it is one too many."""
        node.count_restart(self.intensity, now)
        return self.budget.record(now)

    def overspent(self, node: Node, reason: ExitReason) -> None:
        """The restart that was counted is one too many."""
        node.enter(Phase.PENDING)
        self.emit("escalated", self, reason=reason)
        self.finish(ExitReason("shutdown", f"{node.path} spent the restart intensity"))

    def child_started(self, node: Node) -> None:
        """Called in the child's task the moment it is ready."""
        self.emit("started" if node.incarnation == 1 else "restarted", node)
        futures, node.start_futures = node.start_futures, None
        for future in futures or ():
            future.resolve(node.ref)
        self.settled(node)

    def child_ended(self, node: Node, incarnation: int) -> None:
        """The child's task is over; ``node.reason`` says why."""
        reason = node.reason
        if incarnation != node.incarnation or reason is None or node.phase is Phase.GONE:
            return
        if not node.is_stuck:
            self.live -= 1
        node.is_stuck = False
        futures, node.end_futures = node.end_futures, None
        for future in futures or ():
            future.resolve(None)
        if node.relaunch and self.ending is None:
            self.emit("terminated", node, reason=reason)
            node.launch()
        elif node.halting or self.ending is not None or self.expects_end(node):
            self._child_halted(node, reason)
        elif not node.is_up:
            self._child_did_not_start(node, reason)
        else:
            self._child_ended_by_itself(node, reason)

    def child_stuck(self, node: Node, incarnation: int) -> None:
        """The child was cancelled and does not end."""
        if incarnation != node.incarnation or not node.is_live or node.is_stuck:
            return
        node.is_stuck = True
        self.live -= 1
        self.emit("stuck", node)
        futures, node.end_futures = node.end_futures, None
        for future in futures or ():
            future.fail(ChildStuck(node.path))
        self.fail_starters(node, ChildStuck(node.path))
        if not self.is_up and not node.is_up and self.ending is None:
            self.failed_child = node
            self.finish(ExitReason("shutdown", f"{node.path} is stuck in its start"))
        elif node.halting or self.ending is not None:
            self.settled(node)

    def child_backed_off(self, node: Node, incarnation: int) -> None:
        """The child's delay is over."""
        if incarnation == node.incarnation and node.phase is Phase.BACKOFF and self.ending is None:
            self.resume(node)

    def resume(self, node: Node) -> None:
        """Go on with a restart that was put off."""
        node.launch()

    def _child_halted(self, node: Node, reason: ExitReason) -> None:
        self.emit("terminated" if node.halting else _how(reason), node, reason=reason)
        if node.start_futures is not None:
            self.fail_starters(node, ActorStopped(node.path, "was terminated before it was ready"))
        returns = node.returning if node.halting else self.returns or self.ending is None
        if returns and not self.forgets(node) and (self.ending is None or self.outlives(node)):
            node.enter(Phase.PENDING)
        else:
            self.leave_stopped(node)
        self.settled(node)

    def _child_did_not_start(self, node: Node, reason: ExitReason) -> None:
        if node.was_ignored:
            node.is_new = False
            futures, node.start_futures = node.start_futures, None
            for future in futures or ():
                future.resolve(node.ref)
            self.emit("stopped", node, reason=ExitReason("normal", "ignored its start"))
            self.leave_stopped(node)
            self.settled(node)
            return
        self.emit("crashed", node, reason=reason)
        if node.start_futures is not None:
            self.fail_starters(node, start_failure(node, reason))
            if node.is_new:
                self.drop(node)
            else:
                self.leave_stopped(node)
            self.settled(node)
        elif not self.is_up:
            self.failed_child = node
            node.enter(Phase.IDLE)
            self.finish(ExitReason("shutdown", f"{node.path} did not start: {reason}", reason.crash))
        else:
            self.restart(node, reason)

    def _child_ended_by_itself(self, node: Node, reason: ExitReason) -> None:
        self.emit(_how(reason), node, reason=reason)
        restart = node.spec.restart
        if restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and not reason.is_expected):
            self.restart(node, reason)
        else:
            significant = node.spec.significant
            self.leave_stopped(node)
            self.child_left(node, significant=significant)

    def restart(self, node: Node, reason: ExitReason) -> None:
        """Have the child started again, unless the intensity is spent."""
        now = self.runtime.now()
        backoff = node.spec.backoff
        if backoff is not None and node.is_up and now - node.up_since >= backoff.reset_after:
            node.attempts = 0
        if not self.spend(node, now):
            self.overspent(node, reason)
            return
        node.restarts += 1
        node.attempts += 1
        delay = backoff.delay(node.attempts, self.runtime.random) if backoff is not None else 0.0
        self.emit("restarting", node, reason=reason, delay=delay)
        self.schedule(node, delay)


def start_failure(node: Node, reason: ExitReason) -> StartFailed:
    """The error of whoever asked for a start: it names the child that failed, however deep it lies."""
    while isinstance(node, SupervisorCell) and node.failed_child is not None and node.failed_child.reason is not None:
        node = node.failed_child
        reason = node.reason or reason
    return StartFailed(node.path, reason)


def _how(reason: ExitReason) -> EventKind:
    return "stopped" if reason.is_expected else "crashed"
