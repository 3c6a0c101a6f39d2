"""`Context`: the operations of one incarnation of an actor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING, Any, cast, final

from supervisor.errors import ActorStopped, NotSupported, SpecError, SupervisorError
from supervisor.introspection.report import NORMAL, ExitReason
from supervisor.messaging.call import ReplyTo
from supervisor.messaging.helper import Helper
from supervisor.messaging.monitors import Link, Monitor, begin_link, begin_monitor
from supervisor.messaging.ref import ActorRef, cell_of
from supervisor.messaging.timer import Timer

if TYPE_CHECKING:
    from supervisor.running.cell import ActorCell
    from supervisor.running.system import System
    from supervisor.tree.supervisor_ref import SupervisorRef


@final
class Context:
    """Belongs to one incarnation: its timers, helpers, monitors and deferred replies end with it."""

    __slots__ = ("_cell", "incarnation")

    def __init__(self, cell: ActorCell) -> None:
        self._cell = cell
        self.incarnation = cell.incarnation
        """1 for the first incarnation."""

    @property
    def ref(self) -> ActorRef:
        """This actor's own address."""
        return self._cell.ref

    @property
    def path(self) -> str:
        """This actor's absolute path."""
        return self._cell.path

    @property
    def name(self) -> str:
        """The child's id."""
        return self._cell.spec.id

    @property
    def system(self) -> System:
        """The tree this actor belongs to."""
        return self._cell.runtime.system

    def ref_to(self, path: str) -> ActorRef:
        """Return the actor at an absolute path; it may not be started yet. Raises `NoSuchActor`."""
        return self._cell.runtime.system.ref(path)

    def supervisor(self, path: str) -> SupervisorRef:
        """Return the supervisor at an absolute path. Raises `NoSuchActor`."""
        return self._cell.runtime.system.supervisor(path)

    def after(self, seconds: float, message: Any) -> Timer:
        """Receive ``message`` once, ``seconds`` from now. Timers do not count against the mailbox's capacity."""
        if not 0 <= seconds < inf:
            raise SpecError("seconds", f"must be a finite number of at least 0, not {seconds!r}")
        return self._start_timer(Timer(self._cell, message, None), seconds)

    def every(self, seconds: float, message: Any) -> Timer:
        """Receive ``message`` every ``seconds``, first ``seconds`` from now; at most one of them is queued at a time."""
        if not 0 < seconds < inf:
            raise SpecError("seconds", f"must be a finite number above 0, not {seconds!r}")
        return self._start_timer(Timer(self._cell, message, seconds), seconds)

    def spawn(self, async_fn: Callable[..., Awaitable[object]], *args: Any, name: str | None = None) -> Helper:
        """Run ``async_fn(*args)`` beside the message loop."""
        cell = self._live()
        helper = Helper(cell, f"{cell.path}#{name or getattr(async_fn, '__name__', 'helper')}")
        cell.hold().add_helper(helper)
        if cell.joining:
            helper.cancel()
        cell.runtime.nursery.start_soon(helper.run, async_fn, args, name=helper.name)
        return helper

    def defer(self) -> ReplyTo[Any]:
        """Reply to the current ask later: the value that `receive` returns for it is ignored.

        When the incarnation ends first, the ask fails with `ActorCrashed` or `ActorStopped`. Raises `SupervisorError`
        when the current message was not an ask.
        """
        call = self._live().call
        if call is None:
            raise SupervisorError(f"{self.path}: there is no ask in hand to defer")
        self._cell.put_off(call)
        return ReplyTo(call)

    def monitor(self, ref: ActorRef) -> Monitor:
        """Receive a `Down` when the present incarnation of ``ref`` ends; at once (`noproc`) when there is none."""
        return begin_monitor(self._live(), cell_of(ref))

    def link(self, ref: ActorRef) -> Link:
        """Link to the present incarnation of ``ref``: an abnormal end of either crashes the other.

        An actor that `trap_exits` receives a `Down` instead, also after an orderly end. Raises `ActorStopped` when the
        other does not run, `NotSupported` for a supervisor.
        """
        node = cell_of(ref)
        if node.kind != "actor":
            raise NotSupported(f"{node.path} is a supervisor and cannot be linked to; monitor it")
        if not node.is_live:
            raise ActorStopped(node.path, "does not run and cannot be linked to")
        return begin_link(self._live(), cast("ActorCell", node))

    def trap_exits(self, *, on: bool = True) -> None:
        """Set whether the end of a linked incarnation arrives as a `Down` message. Off in a new incarnation."""
        self._live().traps_exits = on

    def stash(self) -> None:
        """Put the current message aside, with the right to reply to it, until `unstash_all` or the next incarnation.

        The value that `receive` returns for it is ignored. Raises `StashFull`, `SupervisorError` when there is no
        current message.
        """
        self._live().put_aside()

    def unstash_all(self) -> None:
        """Handle the stashed messages next, before the queued ones, in the order in which they were stashed."""
        self._live().unstash()

    def continue_with(self, message: Any) -> None:
        """Receive ``message`` next, before any queued message. Called in `started`, it completes a start in two steps.

        The message is lost when the incarnation ends first.
        """
        timer = Timer(self._live(), message, None)
        self._hold(timer)
        timer.queue_first()

    def stop(self, reason: ExitReason = NORMAL) -> None:
        """End this incarnation after the current message."""
        if self._cell.context is self:
            self._cell.ask_to_stop(reason)

    def _start_timer(self, timer: Timer, seconds: float) -> Timer:
        self._hold(timer)
        self._cell.runtime.timers.arm(timer, self._cell.runtime.now() + seconds)
        return timer

    def _hold(self, timer: Timer) -> None:
        self._live().hold().add_timer(timer)

    def _live(self) -> ActorCell:
        """Return the cell. Raises `ActorStopped` unless this is the context of its present incarnation."""
        if self._cell.context is not self:
            raise ActorStopped(self.path, f"has ended its incarnation {self.incarnation}")
        return self._cell
