"""Signals from the first line of `main` on: none is lost before the code that obeys it runs, even as process 1 of a container."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final, final

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
OBEYED: Final = (*STOPPING, signal.SIGHUP)


@final
class Signals:
    """The signals that the daemon got. From `note` on, a signal is remembered until `receive` hands it on. Before `begin` there is nothing
    to clean up, so SIGTERM or SIGINT ends the process at once, with 0. The kernel drops signals for process 1 that have no handler, so
    handlers come before anything else.
    """

    def __init__(self) -> None:
        self._noted: list[int] = []
        self._has_begun = False

    def note(self) -> None:
        """Install handlers for SIGTERM, SIGINT and SIGHUP until the end of the process. On the main thread."""
        for number in OBEYED:
            signal.signal(number, self._note)

    def begin(self) -> None:
        """From now on the process has to clean up before it ends."""
        self._has_begun = True

    @contextmanager
    def receive(self, *numbers: signal.Signals) -> Generator[AsyncIterator[int]]:
        """Yield these signals as they come, remembered ones first. Within trio, on the main thread."""
        import trio  # imported here: `main` notes signals before anything large is loaded

        with trio.open_signal_receiver(*numbers) as received:
            due = [number for number in self._noted if number in numbers]
            self._noted = [number for number in self._noted if number not in numbers]
            for number in due:
                signal.raise_signal(number)
            yield received

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number in STOPPING and not self._has_begun:
            os._exit(0)
        if number not in self._noted:
            self._noted.append(number)


@final
class Terminated(BaseException):
    """SIGTERM ended a command, which has cleaned up."""


@contextmanager
def terminating_in_order() -> Generator[None]:
    """Have SIGTERM end the block as Ctrl-C does, with its clean-up, and then raise `Terminated` instead of KeyboardInterrupt."""
    is_terminated = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_terminated
        is_terminated = True
        signal.raise_signal(signal.SIGINT)

    try:
        with _handled(signal.SIGTERM, interrupt):
            yield
    except KeyboardInterrupt:
        if is_terminated:
            raise Terminated from None
        raise


@contextmanager
def _handled(number: signal.Signals, handler: Callable[[int, FrameType | None], object]) -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():  # where handlers cannot be set
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
