"""`open_system`: the block within which a tree runs."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import final

import trio

from supervisor.choices import INFINITY
from supervisor.errors import SpecError
from supervisor.events import Subscriber
from supervisor.spec import DynamicSupervisorSpec, SupervisorSpec
from supervisor.system import System


def open_system(
    root: SupervisorSpec | DynamicSupervisorSpec,
    *,
    on_event: Subscriber | None = None,
    seed: int | None = None,
    shutdown_timeout: float = INFINITY,
    stuck_after: float = 5.0,
    freeze_gc: bool = False,
    wait_started: bool = True,
) -> AbstractAsyncContextManager[System]:
    """Run a tree within an ``async with`` block.

    The block is entered once everything is started, in order (`StartFailed` otherwise). With ``wait_started`` False it is entered at
    once: the body awaits `System.wait_started`, and can stop a tree that does not come up. Leaving the block, by whatever
    way, stops the tree in order: that is shielded from cancellation, and ``shutdown_timeout`` seconds bound it, after which
    all is killed.
    The body's own exception leaves the block as it is, not in a group. The tree's end does not end the body: see
    `System.wait_terminated`. ``seed`` makes the jitter of back-offs repeatable. An incarnation that has been cancelled and has
    not ended ``stuck_after`` seconds later is reported as ``stuck``; the block cannot be left before its task has ended.
    ``freeze_gc`` has the garbage collector pass over everything that is there once the tree is started (`gc.freeze`), and again
    over what has come since once it is to stop, until it has: a full collection then costs microseconds instead of 70 ms at
    10,000 actors. It concerns the whole process.
    """
    if not stuck_after >= 0:
        raise SpecError("stuck_after", f"must be a number of seconds of at least 0, or inf, not {stuck_after!r}")
    system = partial(
        System,
        root,
        on_event=on_event,
        seed=seed,
        shutdown_timeout=shutdown_timeout,
        stuck_after=stuck_after,
        freeze_gc=freeze_gc,
    )
    return _OpenSystem(system, freeze_gc=freeze_gc, wait_started=wait_started)


@final
class _OpenSystem(AbstractAsyncContextManager[System]):
    def __init__(self, make_system: Callable[[], System], *, freeze_gc: bool, wait_started: bool) -> None:
        self._make_system = make_system
        self._wait_started = wait_started
        self._freeze_gc = freeze_gc
        self._nursery_block = trio.open_nursery()

    async def __aenter__(self) -> System:
        system = self._system = self._make_system()
        nursery = await self._nursery_block.__aenter__()
        try:
            await nursery.start(system.run)
            if self._wait_started:
                await system.wait_started()
        except BaseException:
            await self._leave()
            raise
        return system

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        """Stop the tree and leave the nursery, which is told nothing of the body's exception lest it wrap it in a group."""
        try:
            with trio.CancelScope(shield=True):
                await self._system.stop()
            await self._nursery_block.__aexit__(None, None, None)
        finally:
            if self._freeze_gc:
                gc.unfreeze()
