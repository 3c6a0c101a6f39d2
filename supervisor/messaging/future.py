"""A place for one result that one task waits for, without a channel or an event: the task is rescheduled with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar, cast, final

import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, wait_task_rescheduled

T = TypeVar("T")

reschedule: Final = cast("Callable[[Task, object], None]", trio.lowlevel.reschedule)
"""trio calls only ``unwrap()`` on the given object; its own Outcome classes can be used only once and are slow to make."""


@final
class Woken:
    """The object with which a task that only waits to be woken is rescheduled."""

    __slots__ = ()

    def unwrap(self) -> None:
        return None


WOKEN: Final = Woken()


@final
class Future(Generic[T]):
    """Settled once, by `resolve` or `fail`. Settling has no effect once it is settled or its waiter was cancelled."""

    __slots__ = ("_error", "_settled", "_task", "_value")

    def __init__(self) -> None:
        self._task: Task | None = None
        self._settled = False
        self._value: Any = None
        self._error: BaseException | None = None

    @property
    def is_settled(self) -> bool:
        return self._settled

    def resolve(self, value: T) -> None:
        if not self._settled:
            self._value = value
            self._settle()

    def fail(self, error: BaseException) -> None:
        if not self._settled:
            self._error = error
            self._settle()

    async def wait(self) -> T:
        """Return the value or raise the error. One task may wait, once."""
        if self._settled:
            return self.unwrap()
        self._task = current_task()
        return cast("T", await wait_task_rescheduled(self._abort))

    def unwrap(self) -> T:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return cast("T", self._value)

    def _settle(self) -> None:
        self._settled = True
        task, self._task = self._task, None
        if task is not None:
            reschedule(task, self)

    def _abort(self, _: RaiseCancelT) -> Abort:
        self._task = None
        self._settled = True
        return Abort.SUCCEEDED
