"""Messages that an actor sends itself later: `Context.after` and `Context.every`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from supervisor.messaging.mailbox import Envelope

if TYPE_CHECKING:
    from supervisor.running.cell import ActorCell

NOTHING: Final = object()


@final
class Timer(Envelope):
    """A future message. Ends with the incarnation that made it; at most one of its messages is queued."""

    __slots__ = ("_cell", "_interval", "_is_queued", "_message", "due")

    def __init__(self, cell: ActorCell, message: Any, interval: float | None) -> None:
        self._cell: ActorCell | None = cell
        self._message = message
        self._interval = interval
        self._is_queued = False
        self.due: float | None = None

    def queue_first(self) -> None:
        """Queue the message before all others."""
        self._is_queued = True
        if self._cell is not None:
            self._cell.box.put_back([self])

    def cancel(self) -> None:
        """Send no further messages; one that is queued already is not delivered either."""
        cell, self._cell = self._cell, None
        self._message = NOTHING
        self.due = None
        if cell is not None:
            cell.hold().timers.pop(self, None)

    def expire(self) -> None:
        """Queue the message. Called by `Timers`, not by users."""
        cell = self._cell
        if cell is None:
            return
        if not self._is_queued:
            self._is_queued = True
            cell.box.deliver(self)
        if self._interval is not None:
            cell.runtime.timers.arm(self, cell.runtime.now() + self._interval)

    def take(self) -> Any:
        """Return the message for the actor; `NOTHING` when the timer was cancelled in the meantime."""
        self._is_queued = False
        message = self._message
        if self._interval is None:
            self.cancel()
        return message
