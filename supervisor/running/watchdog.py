"""The deadline of a handler, without a cancel scope per message: one entry in the shared heap per busy actor."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from supervisor.running.cell import ActorCell


@final
class Watchdog:
    """Armed while its actor is busy; when it expires, it checks how long the current message has taken."""

    __slots__ = ("_cell", "_limit", "due")

    def __init__(self, cell: ActorCell, limit: float) -> None:
        self._cell = cell
        self._limit = limit
        self.due: float | None = None

    def watch(self) -> None:
        """Begin to watch a turn of the actor."""
        if self.due is None:
            self._arm()

    def expire(self) -> None:
        cell = self._cell
        if cell.current is None:
            return
        if cell.runtime.now() >= cell.turn_started + self._limit:
            cell.exceeded_handler_time(self._limit)
        else:
            self._arm()

    def end(self) -> None:
        self.due = None

    def _arm(self) -> None:
        self._cell.runtime.timers.arm(self, self._cell.turn_started + self._limit)
