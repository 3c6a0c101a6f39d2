"""An ask in flight: the request, the task that waits for the reply, and the place for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, final

from trio.lowlevel import Abort, RaiseCancelT, Task

from supervisor.errors import ActorStopped, AskTimeout
from supervisor.messaging.future import reschedule
from supervisor.messaging.mailbox import Envelope

R = TypeVar("R")


@final
class Call(Envelope):
    """Gets one reply. ``task`` is None once it has one or its caller has given up; later replies are dropped."""

    __slots__ = ("due", "error", "on_settled", "path", "request", "task", "timeout", "value")
    is_droppable = True

    def __init__(self, request: object, task: Task, path: str, timeout: float) -> None:
        self.request = request
        self.task: Task | None = task
        self.path = path
        self.timeout = timeout
        self.due: float | None = None
        self.on_settled: Callable[[Call], object] | None = None
        """Called when a deferred reply has come, or is no longer awaited."""

    def reply(self, value: object) -> None:
        task = self.task
        if task is not None:
            self.task = None
            self.due = None
            self.value = value
            self.error: BaseException | None = None
            reschedule(task, self)
        if self.on_settled is not None:
            self.on_settled(self)

    def fail(self, error: BaseException) -> None:
        task = self.task
        if task is not None:
            self.task = None
            self.due = None
            self.error = error
            reschedule(task, self)
        if self.on_settled is not None:
            self.on_settled(self)

    @property
    def is_abandoned(self) -> bool:
        """Whether no task waits for the reply any more."""
        return self.task is None

    def reject(self, error: Exception) -> None:
        self.fail(error)

    def expire(self) -> None:
        self.fail(AskTimeout(self.path, type(self.request).__qualname__, self.timeout))

    def abort(self, _: RaiseCancelT) -> Abort:
        """For ``wait_task_rescheduled`` of the caller."""
        self.task = None
        self.due = None
        if self.on_settled is not None:
            self.on_settled(self)
        return Abort.SUCCEEDED

    def unwrap(self) -> Any:
        error = self.error
        if error is None:
            return self.value
        self.error = None
        raise error


@final
class ReplyTo(Generic[R]):
    """The right to reply to one ask later, from `Context.defer`. Only the first reply counts; replies that come too late are dropped."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    @property
    def is_open(self) -> bool:
        """Whether the caller still waits for the reply."""
        return self._call.task is not None

    def reply(self, value: R) -> None:
        """Reply to the ask."""
        self._call.reply(value)

    def fail(self, error: Exception) -> None:
        """Have the ask raise ``error``."""
        self._call.fail(error)


def stopped(path: str) -> ActorStopped:
    """Return the error for a caller whose request will not be handled."""
    return ActorStopped(path, "stopped before it answered")
