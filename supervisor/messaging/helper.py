"""Helper tasks, which run for one incarnation beside its message loop: `Context.spawn`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, final

import trio

from supervisor.introspection.inquiries import describe_crash

if TYPE_CHECKING:
    from supervisor.running.cell import ActorCell


@final
class Helper:
    """One helper task. An exception of it is a crash of its actor; it is cancelled and awaited when the actor ends."""

    __slots__ = ("_cell", "_scope", "name")

    def __init__(self, cell: ActorCell, name: str) -> None:
        self._cell = cell
        self._scope = trio.CancelScope()
        self.name = name

    def cancel(self) -> None:
        """Cancel the task. It ends at its next checkpoint; its end cannot be awaited."""
        self._scope.cancel()

    async def run(self, async_fn: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        """The body of the task."""
        cell, crash = self._cell, None
        try:
            with self._scope:
                await async_fn(*args)
        except Exception as exc:  # noqa: BLE001 - this is the border at which crashes are contained
            crash = describe_crash(cell, exc, skip=1)
        cell.helper_ended(self, crash)
