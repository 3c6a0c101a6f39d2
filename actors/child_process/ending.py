"""Why and how a child process of the daemon ends, whatever it does."""

from __future__ import annotations

import signal
from typing import Protocol, final

import trio

from actors.child_process.exits import CONTROL_LOST, NEVER_CONTROLLED, ORDERLY


class Log(Protocol):
    """Where the process says why it ends."""

    def note(self, text: str) -> None: ...
    def failure(self, text: str) -> None: ...


@final
class Ending:
    """The end of one process: asked for by a signal or the daemon, or for want of a control connection.

    ``asked`` is set once the process is to end. `watch_signals` and `watch_control` are tasks of its main nursery.
    """

    def __init__(self, log: Log, control_within_s: float) -> None:
        self._log = log
        self._control_within_s = control_within_s
        self._status: int | None = None
        self.asked = trio.Event()

    @property
    def status(self) -> int:
        """The exit status. Only once ``asked`` is set."""
        assert self._status is not None
        return self._status

    def shut_down(self, why: str) -> None:
        """End for the reason ``why``, which is ``asked to`` or says how the control connection was lost."""
        if self._status is None:
            self._status = ORDERLY if why == "asked to" else CONTROL_LOST
            self._log.note(f"ending: {why}")
        self.asked.set()

    async def watch_signals(self) -> None:
        """End at SIGTERM and SIGINT."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                self.shut_down("asked to")

    async def watch_control(self, controlled: trio.Event) -> None:
        """End when ``controlled`` is not set in time: the daemon that started this process is gone."""
        with trio.move_on_after(self._control_within_s):
            await controlled.wait()
            return
        self._status = NEVER_CONTROLLED
        self._log.failure(f"no control connection within {self._control_within_s:.0f} s")
        self.asked.set()
