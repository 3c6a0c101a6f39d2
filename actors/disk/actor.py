"""The disk actor: watches whether the state directory takes writes, keeps the reserve, and reports when writes fail."""

from __future__ import annotations

from typing import Any, Final, final

import structlog
import trio

from actors.daemon.metrics import Metrics
from actors.disk.state import DiskState
from actors.disk.watch import Watch
from actors.messages import DiskFailed
from supervisor import Actor, ActorRef
from supervisor.errors import SupervisorError

LOOK_EVERY_S: Final = 1.0
RETRY_S: Final = 2.0
"""Between two looks while no writes are taken."""


@final
class DiskActor(Actor):
    """Looks once a second. When writes begin to fail, the directory has all companies leave WhatsApp; they come back by themselves. An
    engine process that meets a full disk before the next look releases the reserve, and its company reports it here.
    """

    def __init__(self, state: DiskState, watch: Watch, directory: ActorRef, metrics: Metrics) -> None:
        self._state = state
        self._watch = watch
        self._directory = directory
        self._metrics = metrics
        self._log = structlog.get_logger("wasup.disk")

    async def started(self) -> None:
        self._metrics.set_source("disk", self._state.samples)
        self.context.spawn(self._run, name="watch")

    async def receive(self, message: Any) -> Any:
        raise TypeError(f"the disk actor understands no messages, got {type(message).__name__}")

    async def _run(self) -> None:
        is_doubted = False
        while True:
            await self._look(is_doubted=is_doubted)
            with trio.move_on_after(LOOK_EVERY_S if self._state.fault is None else RETRY_S):
                await self._state.doubted.wait()
            is_doubted = self._state.doubted.is_set()

    async def _look(self, *, is_doubted: bool) -> None:
        state = self._state
        state.doubted = trio.Event()
        must_write = is_doubted or state.fault is not None
        found = await trio.to_thread.run_sync(lambda: self._watch.look(must_write=must_write))
        state.rooms = found.rooms
        before, state.fault = state.fault, found.fault
        if before is None and found.fault is not None:
            state.faults += 1
            self._log.error("disk_takes_no_writes", reason=found.fault, free=self._free())
            self._tell(DiskFailed(found.fault))
        elif before is not None and found.fault is None:
            self._log.warning("disk_takes_writes_again", free=self._free())

    def _free(self) -> int:
        return min((room.free_bytes for room in self._state.rooms.values()), default=0)

    def _tell(self, news: DiskFailed) -> None:
        try:
            self._directory.tell(news)
        except SupervisorError:
            return  # each company finds out when it writes
