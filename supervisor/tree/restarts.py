"""A supervisor's reactions to reports of its children: which child is restarted, given up or forgotten, and what counts against it."""

from __future__ import annotations

from supervisor.errors import ActorStopped, ChildStuck, StartFailed
from supervisor.introspection.report import EventKind, ExitReason
from supervisor.tree.decide import Decision, Stop, after_end
from supervisor.tree.node import Node
from supervisor.tree.phase import Phase
from supervisor.tree.supervisor import SupervisorCell


class RestartingSupervisor(SupervisorCell):
    """Decides whether to restart; the two kinds of supervisors decide how."""

    __slots__ = ()

    def schedule(self, node: Node, delay: float) -> None:
        """Restart a child, and the others that the strategy names, after ``delay`` seconds."""
        raise NotImplementedError

    def settled(self, node: Node) -> None:
        """Called when an awaited start or end of a child has happened, successfully or not."""
        raise NotImplementedError

    def child_left(self, node: Node, *, significant: bool) -> None:
        """Called when a child ended by itself and stays down (``node`` is forgotten already if it was temporary)."""

    def expects_end(self, node: Node) -> bool:
        """Return whether the child is about to be stopped in any case."""
        return False

    def start_added(self, node: Node) -> None:
        """Start a child that was added or was not running."""
        node.launch()

    def spend(self, node: Node, now: float) -> bool:
        """Count a restart. Return False when it is one too many."""
        node.count_restart(self.intensity, now)
        return self.budget.record(now)

    def overspent(self, node: Node, reason: ExitReason) -> None:
        """Handle a counted restart that is one too many."""
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
        """Handle the end of the child's task; ``node.reason`` says why."""
        reason = node.reason
        if incarnation != node.incarnation or reason is None or node.phase is Phase.GONE:
            return
        if not node.is_stuck:
            self.live -= 1
        node.is_stuck = False
        futures, node.end_futures = node.end_futures, None
        for future in futures or ():
            future.resolve(None)
        match self._decide(node, reason):
            case Decision.RELAUNCH:
                self.emit("terminated", node, reason=reason)
                node.launch()
            case (Decision.WAIT_FOR_TURN | Decision.STAY_STOPPED) as decision:
                self._child_halted(node, reason, returns=decision is Decision.WAIT_FOR_TURN)
            case Decision.LEAVE_IGNORED:
                self._child_ignored_its_start(node)
            case (Decision.REJECT_NEW | Decision.REJECT_KNOWN) as decision:
                self.emit("crashed", node, reason=reason)
                self._reject_start(node, reason, forget=decision is Decision.REJECT_NEW)
            case Decision.FAIL_SUPERVISOR:
                self.emit("crashed", node, reason=reason)
                self.failed_child = node
                node.enter(Phase.IDLE)
                self.finish(ExitReason("shutdown", f"{node.path} did not start: {reason}", reason.crash))
            case Decision.RESTART:
                self.emit(_how(reason) if node.is_up else "crashed", node, reason=reason)
                self.restart(node, reason)
            case Decision.LEAVE_ENDED:
                self.emit(_how(reason), node, reason=reason)
                significant = node.spec.significant
                self.leave_stopped(node)
                self.child_left(node, significant=significant)

    def _decide(self, node: Node, reason: ExitReason) -> Decision:
        ends = self.ending is not None
        return after_end(
            restart=node.spec.restart,
            stop=node.stop,
            is_expected=reason.is_expected,
            was_ready=node.is_up,
            was_ignored=node.was_ignored,
            is_new=node.is_new,
            is_awaited=node.start_futures is not None,
            is_to_relaunch=node.relaunch,
            is_next_to_stop=self.expects_end(node),
            keeps_place=not self.forgets(node) and (not ends or self.outlives(node)),
            supervisor_is_ready=self.is_up,
            supervisor_ends=ends,
            supervisor_returns=self.returns,
        )

    def child_stuck(self, node: Node, incarnation: int) -> None:
        """Handle a child that was cancelled and does not end."""
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
        elif node.stop is not Stop.NONE or self.ending is not None:
            self.settled(node)

    def child_backed_off(self, node: Node, incarnation: int) -> None:
        """Handle the end of the child's delay."""
        if incarnation == node.incarnation and node.phase is Phase.BACKOFF and self.ending is None:
            self.resume(node)

    def resume(self, node: Node) -> None:
        """Continue a delayed restart."""
        node.launch()

    def _child_halted(self, node: Node, reason: ExitReason, *, returns: bool) -> None:
        self.emit(_how(reason) if node.stop is Stop.NONE else "terminated", node, reason=reason)
        if node.start_futures is not None:
            self.fail_starters(node, ActorStopped(node.path, "was terminated before it was ready"))
        if returns:
            node.enter(Phase.PENDING)
        else:
            self.leave_stopped(node)
        self.settled(node)

    def _child_ignored_its_start(self, node: Node) -> None:
        node.is_new = False
        futures, node.start_futures = node.start_futures, None
        for future in futures or ():
            future.resolve(node.ref)
        self.emit("stopped", node, reason=ExitReason("normal", "ignored its start"))
        self.leave_stopped(node)
        self.settled(node)

    def _reject_start(self, node: Node, reason: ExitReason, *, forget: bool) -> None:
        self.fail_starters(node, start_failure(node, reason))
        if forget:
            self.drop(node)
        else:
            self.leave_stopped(node)
        self.settled(node)

    def restart(self, node: Node, reason: ExitReason) -> None:
        """Have the child started again, unless the intensity is exceeded."""
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
    """Return the error for the caller of a start. It names the child that failed, at any depth."""
    while isinstance(node, SupervisorCell) and node.failed_child is not None and node.failed_child.reason is not None:
        node = node.failed_child
        reason = node.reason or reason
    return StartFailed(node.path, reason)


def _how(reason: ExitReason) -> EventKind:
    return "stopped" if reason.is_expected else "crashed"
