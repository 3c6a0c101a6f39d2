"""`ActorRef`: the address of an actor, valid across its restarts."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, TypeVar, cast, final

from trio.lowlevel import current_task, wait_task_rescheduled

from supervisor.errors import SpecError, WouldDeadlock
from supervisor.messaging.actor import Request
from supervisor.messaging.call import Call
from supervisor.messaging.future import WOKEN, reschedule
from supervisor.messaging.mailbox import Mailbox
from supervisor.tree.choices import Overflow

if TYPE_CHECKING:
    from supervisor.tree.node import Node

R = TypeVar("R")


@final
class ActorRef:
    """The address of an actor's place in the tree, not of one incarnation. There is one ref object per place."""

    __slots__ = ("__weakref__", "_box", "_cell")

    def __init__(self, cell: Node, box: Mailbox) -> None:
        self._cell = cell
        self._box = box

    @property
    def path(self) -> str:
        """The absolute path of the place in the tree."""
        return self._box.path

    def tell(self, message: Any) -> None:
        """Queue a message. Raises `ActorStopped`, or `MailboxFull` unless the mailbox drops excess messages."""
        box = self._box
        queue = box.queue
        if queue is None:
            queue = box.open_queue()
        elif len(queue) >= box.capacity:
            box.put(message)
            return
        queue.append(message)
        box.stamps.append(box.now())
        task = box.waiter
        if task is not None:
            box.waiter = None
            reschedule(task, WOKEN)

    async def send(self, message: Any) -> None:
        """Queue a message, waiting for room as long as it takes. Does not yield when there is room. Raises `ActorStopped`."""
        box = self._box
        full = len(box) >= box.capacity
        if full and box.overflow in (Overflow.REJECT, Overflow.WAIT):
            await box.wait_for_room(message)
        else:
            self.tell(message)

    async def ask(self, request: Request[R], *, timeout: float = 5.0) -> R:
        """Return the actor's reply.

        Raises `AskTimeout` after ``timeout`` seconds (`math.inf`: never), `ActorCrashed` when the incarnation that held
        the request crashed, `ActorStopped`, `MailboxFull`, or the actor's own `Refusal`. A request whose caller gives
        up before the actor takes it is not handled. `SpecError`: the timeout is invalid, nothing was sent.
        """
        if not timeout >= 0:
            raise SpecError("timeout", f"must be a number of seconds of at least 0, or inf, not {timeout!r}")
        box = self._box
        task = current_task()
        if task is self._cell.task:
            raise WouldDeadlock(box.path)
        call = Call(request, task, box.path, timeout)
        if box.overflow is Overflow.WAIT and len(box) >= box.capacity:
            box.enqueue_sender(call, None)
        else:
            self.tell(call)
        if timeout != inf:
            self._cell.runtime.timers.arm(call, box.now() + timeout)
        return cast("R", await wait_task_rescheduled(call.abort))

    def __repr__(self) -> str:
        return f"<ActorRef {self._box.path}>"


def cell_of(ref: ActorRef) -> Node:
    """Return the cell behind a ref, for the rest of this package."""
    return ref._cell  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # private, so that users have no access
