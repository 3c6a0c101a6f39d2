"""Signals from the first line of `main` on: none is lost between there and the code that obeys it, also as process 1 of a container."""

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
    """What a daemon was signalled. From `note` on a signal is remembered until `receive` hands it on; only before `begin`, while there
    is nothing to put in order, does SIGTERM or SIGINT end the process at once, with 0. The kernel drops a signal for process 1 that has no
    handler: so handlers come before anything else.
    """

    def __init__(self) -> None:
        self._noted: list[int] = []
        self._has_begun = False

    def note(self) -> None:
        """Take SIGTERM, SIGINT and SIGHUP over, to the end of the process. On the main thread."""
        for number in OBEYED:
            signal.signal(number, self._note)

    def begin(self) -> None:
        """What follows has to be put in order before the process ends."""
        self._has_begun = True

    @contextmanager
    def receive(self, *numbers: signal.Signals) -> Generator[AsyncIterator[int]]:
        """These signals as they come, those remembered first. Within trio, on the main thread."""
        import trio  # not before: `main` notes signals before anything large is loaded

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
    """A command was ended by SIGTERM, in order."""


@contextmanager
def terminating_in_order() -> Generator[None]:
    """Have SIGTERM end the block as Ctrl-C does, cleaning up on its way, and raise `Terminated` then instead of KeyboardInterrupt."""
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
