"""The queue of one actor. It outlives incarnations, is bounded, and wakes at most one waiting consumer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, final

from trio.lowlevel import Abort, RaiseCancelT, Task

from supervisor.errors import ActorStopped, MailboxFull
from supervisor.messaging.future import WOKEN, Future, reschedule
from supervisor.tree.choices import Overflow
from supervisor.tree.spec import MailboxSpec

MAX_SENDERS: Final = 10_000
"""Tasks that may wait for room in one mailbox."""
Pool = list[tuple[deque[Any], deque[float]]]
"""Empty queues to be reused: most actors have messages queued only for moments."""
MAX_SPARE: Final = 64
_NO_STAMPS: Final[deque[float]] = deque(maxlen=0)


class Envelope:
    """Base of the objects that are queued in place of a message: a call, a timer's tick, a monitor's notice."""

    __slots__ = ()
    is_droppable = False

    def reject(self, error: Exception) -> None:
        """Called when it will not be handled, because of ``error``."""


@final
class Mailbox:
    """``queue`` is None and ``stamps`` (the time when each message was queued) shared until first used: an idle actor owns no deque."""

    __slots__ = (
        "capacity",
        "closed",
        "dropped",
        "now",
        "overflow",
        "path",
        "pool",
        "queue",
        "senders",
        "stamps",
        "waiter",
    )

    def __init__(self, path: str, spec: MailboxSpec, now: Callable[[], float], pool: Pool) -> None:
        self.pool = pool
        self.path = path
        self.capacity = spec.capacity
        self.overflow = spec.overflow
        self.now = now
        self.queue: deque[Any] | None = None
        self.stamps: deque[float] = _NO_STAMPS
        self.waiter: Task | None = None
        self.senders: deque[tuple[Any, Future[None] | None]] | None = None
        self.closed: str | None = None
        """Why no messages are accepted, in words that follow the path; None while open."""
        self.dropped = 0

    def __len__(self) -> int:
        return len(self.queue) if self.queue is not None else 0

    def oldest_age(self) -> float | None:
        """Return for how many seconds the oldest queued message has waited."""
        return self.now() - self.stamps[0] if self.stamps else None

    def put(self, item: Any) -> None:
        """Queue a message or raise: `ActorStopped`, or `MailboxFull` where the overflow policy says so."""
        if self.closed is not None:
            raise ActorStopped(self.path, self.closed)
        if len(self) >= self.capacity and not self._make_room(item):
            return
        self.deliver(item)

    def deliver(self, item: Any) -> None:
        """Queue regardless of the capacity (for the core's own notices, which are bounded at their origin)."""
        if self.closed is not None:
            return
        queue = self.queue if self.queue is not None else self.open_queue()
        queue.append(item)
        self.stamps.append(self.now())
        self.wake()

    def release(self) -> None:
        """Free the memory of the empty queue. Two empty deques take as much as the task that waits beside them."""
        queue, stamps = self.queue, self.stamps
        if queue is not None:
            self.queue = None
            self.stamps = _NO_STAMPS
            if len(self.pool) < MAX_SPARE:
                self.pool.append((queue, stamps))

    def open_queue(self) -> deque[Any]:
        """Make the queue. Raises `ActorStopped`."""
        if self.closed is not None:
            raise ActorStopped(self.path, self.closed)
        queue, self.stamps = self.pool.pop() if self.pool else (deque[Any](), deque[float]())
        self.queue = queue
        return queue

    def put_back(self, items: list[Any]) -> None:
        """Queue ahead of all others, in the given order."""
        queue = self.queue if self.queue is not None else self.open_queue()
        queue.extendleft(reversed(items))
        now = self.now()
        self.stamps.extendleft(now for _ in items)
        self.wake()

    async def wait_for_room(self, item: Any) -> None:
        """Queue the message once there is room, first come, first served. When cancelled, the message is not queued."""
        future: Future[None] = Future()
        self.enqueue_sender(item, future)
        try:
            await future.wait()
        except BaseException:
            self._step_out(future)
            raise

    def enqueue_sender(self, item: Any, future: Future[None] | None) -> None:
        """Have the message queued once there is room, and ``future`` resolved then."""
        if self.closed is not None:
            raise ActorStopped(self.path, self.closed)
        if self.senders is None:
            self.senders = deque()
        if len(self.senders) >= MAX_SENDERS:
            self.senders = deque(entry for entry in self.senders if entry[1] is not None or not entry[0].is_abandoned)
        if len(self.senders) >= MAX_SENDERS:
            raise MailboxFull(self.path, self.capacity)
        self.senders.append((item, future))

    def admit(self) -> None:
        """Let waiting senders in as far as there is room."""
        senders = self.senders
        while senders and len(self) < self.capacity:
            item, future = senders.popleft()
            if future is not None:
                future.resolve(None)
            elif item.is_abandoned:
                continue
            self.deliver(item)
        if not senders:
            self.senders = None

    def wake(self) -> None:
        """Wake the consumer if it waits."""
        task = self.waiter
        if task is not None:
            self.waiter = None
            reschedule(task, WOKEN)

    def abort_wait(self, _: RaiseCancelT) -> Abort:
        """For ``wait_task_rescheduled`` of the consumer."""
        self.waiter = None
        return Abort.SUCCEEDED

    def close(self, why: str) -> None:
        """Accept no more messages; callers that wait for a reply or for room get `ActorStopped`. ``why`` follows the path."""
        self.closed = why
        queue, self.queue, self.stamps = self.queue, None, _NO_STAMPS
        senders, self.senders = self.senders, None
        for item in queue or ():
            self.discard(item, ActorStopped(self.path, why))
        for item, future in senders or ():
            if future is not None:
                future.fail(ActorStopped(self.path, why))
            else:
                item.reject(ActorStopped(self.path, why))

    def reopen(self) -> None:
        self.closed = None

    def _step_out(self, future: Future[None]) -> None:
        self.senders = deque(entry for entry in self.senders or () if entry[1] is not future) or None

    def _make_room(self, item: Any) -> bool:
        """Apply the overflow policy to a full mailbox. Return whether ``item`` may be queued."""
        if self.overflow is Overflow.DROP_OLDEST and self._drop_oldest():
            return True
        if self.overflow is Overflow.DROP_NEWEST and not isinstance(item, Envelope):
            self.dropped += 1
            return False
        raise MailboxFull(self.path, self.capacity)

    def _drop_oldest(self) -> bool:
        queue = self.queue if self.queue is not None else deque[Any]()
        for index, item in enumerate(queue):
            if not isinstance(item, Envelope) or item.is_droppable:
                del queue[index]
                del self.stamps[index]
                self.discard(item, MailboxFull(self.path, self.capacity))
                return True
        return False

    def discard(self, item: Any, error: Exception) -> None:
        """Drop a message that will not be handled."""
        self.dropped += 1
        if isinstance(item, Envelope):
            item.reject(error)
