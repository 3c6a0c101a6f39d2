"""A supervisor's record of a child, actor or supervisor, with the state that outlives the child's incarnations."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final, Literal

from trio.lowlevel import Task

from supervisor.introspection.crash import killed
from supervisor.introspection.report import CrashReport, ExitReason
from supervisor.messaging.mailbox import Mailbox
from supervisor.messaging.ref import ActorRef
from supervisor.tree.choices import IGNORE, BrutalKill
from supervisor.tree.decide import Stop
from supervisor.tree.intensity import Intensity, Window
from supervisor.tree.phase import LIVE, Phase
from supervisor.tree.spec import DEFAULT_SHUTDOWN, ChildSpec

if TYPE_CHECKING:
    from supervisor.messaging.future import Future
    from supervisor.messaging.monitors import Watch
    from supervisor.running.runtime import Runtime
    from supervisor.tree.supervisor import SupervisorCell

_FORGOTTEN: Final = ChildSpec("forgotten", start=lambda _: IGNORE)


class Node:
    """One place in the tree.

    Its supervisor drives it with `launch`, `halt` and `kill`; the node reports each ready incarnation and each end to
    the supervisor.
    """

    __slots__ = (
        "alarm",
        "attempts",
        "box",
        "due",
        "end_futures",
        "incarnation",
        "is_new",
        "is_stuck",
        "is_up",
        "last_crash",
        "parent",
        "path",
        "phase",
        "reason",
        "ref",
        "relaunch",
        "restarts",
        "runtime",
        "since",
        "spec",
        "start_futures",
        "stop",
        "successor",
        "task",
        "up_since",
        "was_ignored",
        "watchers",
        "window",
    )
    kind: Literal["actor", "supervisor"]

    def __init__(self, runtime: Runtime, parent: SupervisorCell | None, spec: ChildSpec, path: str) -> None:
        self.runtime = runtime
        self.parent = parent
        self.spec = spec
        self.path = path
        self.box = Mailbox(path, spec.mailbox, runtime.now, runtime.spare_queues)
        self.ref = ActorRef(self, self.box)
        self.task: Task | None = None
        self.phase = Phase.PENDING
        self.since = runtime.now()
        self.incarnation = 0
        self.restarts = 0
        self.attempts = 0
        """Restarts in a row, for the back-off."""
        self.window: Window | None = None
        self.last_crash: CrashReport | None = None
        self.reason: ExitReason | None = None
        """Why the last incarnation ended."""
        self.stop = Stop.NONE
        self.relaunch = False
        """Whether to launch it as soon as its stuck incarnation has ended."""
        self.is_stuck = False
        self.successor: Node | None = None
        """The node that waits for the end of this stuck and forgotten one, to take its path."""
        self.is_up = False
        """Whether the present (or last) incarnation became ready."""
        self.up_since = 0.0
        self.is_new = True
        """Whether no incarnation has yet been ready or ignored its start."""
        self.was_ignored = False
        """Whether the last incarnation had nothing to run."""
        self.due: float | None = None
        self.alarm: Callable[[], object] | None = None
        self.start_futures: list[Future[ActorRef]] | None = None
        self.end_futures: list[Future[None]] | None = None
        self.watchers: dict[Watch, None] | None = None

    @property
    def is_live(self) -> bool:
        return self.phase in LIVE

    def enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = self.runtime.now()

    def launch(self) -> None:
        """Start a new incarnation; if the old one is stuck, once it has ended."""
        predecessor = self.runtime.stuck_forgotten.get(self.path)
        if self.task is not None or predecessor is not None:
            self.relaunch = True
            if predecessor is not None:
                predecessor.successor = self
            return
        self.stop = Stop.NONE
        self.relaunch = self.is_stuck = self.is_up = False
        self.reason = None
        self.reopen()
        self.incarnation += 1
        if self.parent is not None:
            self.parent.live += 1
        self.enter(Phase.STARTING)
        self.spawn()
        if self.spec.start_timeout is not None and self.phase is Phase.STARTING:
            self.set_alarm(self.spec.start_timeout, self._start_took_too_long)

    def halt(self, reason: ExitReason, *, returning: bool) -> None:
        """Stop the incarnation: ask it to stop, cancel it when its shutdown time is over, report it if it still does not end."""
        stop = Stop.TO_RETURN if returning else Stop.FOR_GOOD
        if not returning and self.kind == "actor":
            self.retire("is stopping")  # queued messages will not be handled: fail their callers now
        if self.stop is not Stop.NONE:
            self.stop = stop
            return
        if not self.is_live:
            return
        self.stop = stop
        starting = self.phase is Phase.STARTING
        self.enter(Phase.STOPPING)
        shutdown = self.spec.shutdown
        if isinstance(shutdown, BrutalKill):
            self.kill(killed("brutal_kill", self))
        elif starting and self.kind == "actor":
            self.kill(reason)
        else:
            self.ask_to_stop(reason)
            if shutdown is not None and shutdown < inf:
                self.set_alarm(shutdown, self._stop_took_too_long)

    def kill(self, reason: ExitReason) -> None:
        """Cancel the incarnation, which then ends with ``reason``."""
        if self.is_live:
            self.clear_alarm()
            if self.kind == "actor":  # a supervisor's children report for themselves
                self.report_if_stuck()
            self.cancel(reason)

    def limit_stop(self) -> None:
        """Limit the time of an incarnation that stops by itself: cancel it when its shutdown time is over."""
        shutdown = self.spec.shutdown
        if isinstance(shutdown, BrutalKill) or shutdown is None:
            shutdown = DEFAULT_SHUTDOWN
        if shutdown < inf:
            self.set_alarm(shutdown, self._stop_took_too_long)

    def report_if_stuck(self) -> None:
        """Report the cancelled incarnation if it does not end."""
        self.set_alarm(self.runtime.stuck_after, self._is_stuck)

    def back_off(self, delay: float) -> None:
        """Wait, then notify the parent."""
        self.enter(Phase.BACKOFF)
        self.set_alarm(delay, self._backed_off)

    def set_alarm(self, delay: float, alarm: Callable[[], object]) -> None:
        self.alarm = alarm
        self.runtime.timers.arm(self, self.runtime.now() + delay)

    def clear_alarm(self) -> None:
        self.due = None
        self.alarm = None

    def expire(self) -> None:
        alarm, self.alarm = self.alarm, None
        if alarm is not None:
            alarm()

    def acked(self) -> None:
        """Record that the incarnation is ready, and tell the parent."""
        self.clear_alarm()
        self.enter(Phase.RUNNING)
        self.up_since = self.since
        self.is_up = True
        self.is_new = False
        if self.parent is not None:
            self.parent.child_started(self)
        else:
            self.runtime.root_started()

    def ended(self, reason: ExitReason) -> None:
        """Record that the incarnation's task has ended, and tell its watchers and the parent."""
        self.clear_alarm()
        self.task = None
        self.reason = reason
        if reason.crash is not None:
            self.last_crash = reason.crash
        if self.watchers is not None:
            watchers, self.watchers = self.watchers, None
            for monitor in watchers:
                monitor.notify(reason)
        if self.phase is Phase.GONE:
            self._make_way()
        elif self.parent is not None:
            self.parent.post(self.parent.child_ended, self, self.incarnation)
        else:
            self.runtime.root_ended(reason)

    def _make_way(self) -> None:
        """Free the path of a place that was forgotten while stuck, and launch the successor if there is one."""
        self.runtime.stuck_forgotten.pop(self.path, None)
        successor, self.successor = self.successor, None
        if successor is not None and successor.phase is Phase.PENDING and successor.parent is not None:
            successor.parent.post(successor.launch)

    def adopt(self, spec: ChildSpec) -> None:
        """Take a changed spec of the same id; fields that concern the start take effect with the next one."""
        self.spec = spec
        self.box.capacity = spec.mailbox.capacity
        self.box.overflow = spec.mailbox.overflow

    def expect(self) -> None:
        """Mark it as waiting for its turn to start; messages may be queued until then."""
        self.enter(Phase.PENDING)
        self.reopen()

    def reopen(self) -> None:
        """Accept messages again."""
        self.box.reopen()

    def retire(self, why: str = "is stopped") -> None:
        """Mark it as not running again by itself, and fail all that wait for it."""
        self.box.close(why)

    def forget(self) -> None:
        """Forget the place: only old refs still hold this node, so it must not hold large objects."""
        self.phase = Phase.GONE
        self.clear_alarm()
        if self.task is not None:
            self.runtime.stuck_forgotten[self.path] = self
        self.runtime.registry.release(self)
        self.retire("is gone")
        self.spec = _FORGOTTEN

    def count_restart(self, intensity: Intensity, now: float) -> bool:
        """Record a restart in the child's own window. Return False when it is one too many for the child alone."""
        if self.window is None:
            self.window = Window(intensity)
        return self.window.record(now)

    @property
    def message_in_hand(self) -> str | None:
        """Class name of the message being handled."""
        return None

    def spawn(self) -> None:
        """Start the task of a new incarnation."""
        raise NotImplementedError

    def ask_to_stop(self, reason: ExitReason) -> None:
        """Have the incarnation end in an orderly way."""
        raise NotImplementedError

    def cancel(self, reason: ExitReason) -> None:
        """Have the incarnation end now."""
        raise NotImplementedError

    def _start_took_too_long(self) -> None:
        limit = self.spec.start_timeout
        self.kill(killed(f"did not start within {limit:g} s", self, "StartTimeout"))

    def _stop_took_too_long(self) -> None:
        self.kill(killed(f"did not stop within {self.spec.shutdown:g} s", self, "ShutdownTimeout"))

    def _backed_off(self) -> None:
        if self.parent is not None:
            self.parent.post(self.parent.child_backed_off, self, self.incarnation)

    def _is_stuck(self) -> None:
        if self.parent is not None:
            self.parent.post(self.parent.child_stuck, self, self.incarnation)
