"""`ActorCell`: one actor's place in the tree, with its mailbox, its counters and its incarnation's resources."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import trio
from trio.lowlevel import Task

from supervisor.errors import ActorCrashed, ActorStopped, StashFull, SupervisorError, TooMany
from supervisor.introspection.crash import ended_by_force
from supervisor.introspection.report import CrashReport, ExitReason
from supervisor.introspection.trace import Tracer
from supervisor.messaging.actor import Actor, Refusal
from supervisor.messaging.call import Call
from supervisor.messaging.context import Context
from supervisor.messaging.future import WOKEN, Future, reschedule
from supervisor.messaging.helper import Helper
from supervisor.messaging.monitors import Link, Monitor
from supervisor.messaging.timer import NOTHING, Timer
from supervisor.running.incarnation import begin
from supervisor.running.receive_loop import RECENT
from supervisor.running.resources import Resources
from supervisor.running.watchdog import Watchdog
from supervisor.tree.node import Node
from supervisor.tree.phase import Phase

if TYPE_CHECKING:
    from supervisor.running.runtime import Runtime
    from supervisor.tree.spec import ChildSpec
    from supervisor.tree.supervisor import SupervisorCell

_NO_RECENT: Final[tuple[type | None, ...]] = (None,) * RECENT
MAX_INQUIRIES: Final = 1_000
"""Inquiries that may wait for one actor."""


class ActorCell(Node):
    """Drives one incarnation at a time (see supervisor.running.incarnation) and keeps the state that outlives it."""

    __slots__ = (
        "attention",
        "busy",
        "call",
        "context",
        "current",
        "handled",
        "inquiries",
        "joining",
        "kill_reason",
        "recent",
        "refused",
        "resources",
        "scope",
        "stash",
        "stop_reason",
        "suspended",
        "tracer",
        "traps_exits",
        "turn_started",
        "was_refused",
        "watchdog",
    )
    kind = "actor"

    def __init__(self, runtime: Runtime, parent: SupervisorCell, spec: ChildSpec, path: str) -> None:
        super().__init__(runtime, parent, spec, path)
        self.context: Context | None = None
        self.scope: trio.CancelScope | None = None
        self.attention = False
        """Whether something comes before the queued messages: a kill_reason, a stop, a suspension, an inquiry."""
        self.kill_reason: ExitReason | None = None
        self.stop_reason: ExitReason | None = None
        self.suspended = False
        self.inquiries: list[tuple[Callable[[Actor], Any], Future[Any]]] | None = None
        self.joining = False
        """Whether the incarnation is only waiting for its helpers to end."""
        self.current: Any = None
        """The message being handled."""
        self.call: Call | None = None
        """The ask being handled."""
        self.turn_started = 0.0
        """When handling of the current message began."""
        self.watchdog: Watchdog | None = None
        self.handled = 0
        self.refused = 0
        self.was_refused = False
        self.busy = 0.0
        self.recent: list[type | None] | None = None
        self.tracer: Tracer | None = None
        self.stash: list[Any] | None = None
        self.resources: Resources | None = None
        self.traps_exits = False

    @property
    def message_in_hand(self) -> str | None:
        return None if self.current is None else type(self.current).__qualname__

    # --- for the supervisor and the system --------------------------------------------------------------------------

    def spawn(self) -> None:
        self.kill_reason = self.stop_reason = None
        self.attention = self.inquiries is not None
        self.suspended = self.was_ignored = self.joining = self.traps_exits = False
        limit = self.spec.handler_timeout
        self.watchdog = Watchdog(self, limit) if limit is not None else None
        self.unstash()
        begin(self)

    def ask_to_stop(self, reason: ExitReason) -> None:
        if self.stop_reason is None:
            self.stop_reason = reason
        self.attention = True
        self.box.wake()

    def cancel(self, reason: ExitReason) -> None:
        if self.kill_reason is None:
            self.kill_reason = reason
        self.attention = True
        self.fail_calls(reason)
        if self.box.waiter is not None:
            self.box.wake()
        elif self.scope is not None:
            self.scope.cancel()

    def retire(self, why: str = "is stopped") -> None:
        super().retire(why)
        stash, self.stash = self.stash, None
        for item in stash or ():
            self.box.discard(item, ActorStopped(self.path, why))
        inquiries, self.inquiries = self.inquiries, None
        for _, future in inquiries or ():
            future.fail(ActorStopped(self.path, why))

    def suspend(self) -> None:
        """Handle no message until `resume`; messages queue up meanwhile."""
        self.suspended = self.attention = True
        self.box.wake()

    def resume(self) -> None:
        self.suspended = False
        self.box.wake()

    def inquire(self, function: Callable[[Actor], Any], future: Future[Any]) -> None:
        """Have ``function(actor)`` called between two messages, also while suspended."""
        if self.inquiries is None:
            self.inquiries = []
        if len(self.inquiries) >= MAX_INQUIRIES:
            raise TooMany(self.path, "waiting inquiries", MAX_INQUIRIES)
        self.inquiries.append((function, future))
        self.attention = True
        self.box.wake()

    # --- for the message loop -------------------------------------------------------------------------------------------

    def begin_turn(self) -> tuple[float, list[type | None]]:
        """Return the end of the turn that begins now, and the list that records types of messages."""
        self.turn_started = now = self.runtime.now()
        if self.watchdog is not None:
            self.watchdog.watch()
        if self.recent is None:
            self.recent = list(_NO_RECENT)
        return now + self.runtime.quantum, self.recent

    @property
    def is_to_end(self) -> bool:
        return self.kill_reason is not None or self.stop_reason is not None

    def may_rest(self, task: Task) -> bool:
        """Return whether there is nothing to do yet; the task must then wait for the first event, and needs no cancel scope for that."""
        if self.attention or self.box.queue or self.box.senders is not None:
            return False
        self.box.waiter = task
        return True

    def goes_to_rest(self, task: Task) -> bool:
        """Prepare to wait, since the queue is empty. Return False when there were waiting senders to admit instead."""
        self.current = None
        if self.box.senders is not None:
            self.box.admit()
            return False
        self.box.release()
        self.box.waiter = task
        return True

    def pause(self) -> None:
        """End the turn."""
        self.current = None
        if self.box.senders is not None:
            self.box.admit()

    def unwrap(self, envelope: Call | Timer | Monitor | Link) -> Any:
        """Return the message in an envelope, or `NOTHING` when the envelope is no longer valid."""
        if not isinstance(envelope, Call):
            return envelope.take()
        if envelope.task is None:
            return NOTHING
        self.call = envelope
        return envelope.request

    def answer(self, value: object) -> None:
        call, self.call = self.call, None
        if call is not None:
            call.reply(value)

    def refuse(self, refusal: Refusal) -> None:
        self.refused += 1
        self.was_refused = True
        call, self.call = self.call, None
        if call is not None:
            call.fail(refusal.with_traceback(None))

    def finish(self, reason: ExitReason) -> None:
        """End the incarnation; nothing that it made outlives it."""
        self.context = None
        self.current = None
        self.fail_calls(reason)
        resources, self.resources = self.resources, None
        if resources is not None:
            resources.cancel_all()
        if self.watchdog is not None:
            self.watchdog.end()
        self.ended(reason)

    def fail_calls(self, reason: ExitReason) -> None:
        """Fail the current ask and all deferred ones."""
        if self.call is None and self.resources is None:
            return
        call, self.call = self.call, None
        calls: tuple[Call, ...] = (call,) if call is not None else ()
        if self.resources is not None:
            calls += self.resources.take_deferred()
        for lost in calls:
            lost.fail(self._lost(reason))

    def hold(self) -> Resources:
        """Return the incarnation's resources."""
        if self.resources is None:
            self.resources = Resources(self.path)
        return self.resources

    def put_off(self, call: Call) -> None:
        """Defer the reply to the current ask."""
        self.hold().add_deferred(call)
        self.call = None

    def helper_ended(self, helper: Helper, crash: CrashReport | None) -> None:
        """Handle the end of a helper task; its crash is this actor's."""
        helpers = self.hold().helpers
        helpers.pop(helper, None)
        if crash is not None:
            reason = ExitReason("crashed", f"{crash.type}: {crash.text}", crash)
            if self.phase is not Phase.STOPPING:
                self.kill(reason)
            elif self.kill_reason is None:
                self.kill_reason = reason
                self.attention = True
                self.box.wake()
        if self.joining and not helpers and self.task is not None:
            self.joining = False
            reschedule(self.task, WOKEN)

    def put_aside(self) -> None:
        """Stash the current message."""
        item = self.call if self.call is not None else self.current
        if item is None:
            raise SupervisorError(f"{self.path}: there is no message in hand to stash")
        capacity = self.spec.mailbox.stash_capacity
        stash = self.stash if self.stash is not None else []
        if len(stash) >= capacity:
            stash = [kept for kept in stash if not (isinstance(kept, Call) and kept.is_abandoned)]
        if len(stash) >= capacity:
            raise StashFull(self.path, capacity)
        stash.append(item)
        self.stash = stash
        self.call = None

    def unstash(self) -> None:
        """Queue the stashed messages ahead of all others."""
        stash, self.stash = self.stash, None
        if stash:
            self.box.put_back(stash)

    def exceeded_handler_time(self, limit: float) -> None:
        """Crash the incarnation, since the current message takes too long."""
        why = f"did not handle {self.message_in_hand} within {limit:g} s"
        self.kill(ended_by_force("crashed", "HandlerTimeout", why, self))

    def _lost(self, reason: ExitReason) -> ActorCrashed | ActorStopped:
        if reason.crash is not None:
            return ActorCrashed(self.path, reason.crash)
        return ActorStopped(self.path, "stopped before it answered")
