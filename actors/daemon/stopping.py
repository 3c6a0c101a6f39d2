"""Stops the daemon in order, within a time limit, and lists what did not stop in time."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn, final

import structlog
import trio

from actors.daemon.exceptions import first_leaf
from actors.daemon.notify import ServiceManager
from actors.daemon.signals import STOPPING, Signals
from actors.http.services.failures import where
from supervisor import ActorSnapshot, System

CUT_MOST_LISTED: Final = 50
UP: Final = frozenset({"starting", "running", "suspended", "stopping"})


@final
class Stopper:
    """Stops the tree on SIGTERM or SIGINT; a second one of them cuts the stop short."""

    def __init__(self, system: System, signals: Signals, *, within_s: float, manager: ServiceManager) -> None:
        self._system = system
        self._signals = signals
        self._within_s = within_s
        self._manager = manager
        self._log = structlog.get_logger("wasup")
        self.has_begun = False
        """Whether a signal to stop the tree has come."""
        self.cut: tuple[str, ...] = ()
        """Paths of the actors that were still up when the time was over. They end with the process, which is to end now."""

    async def run(self, leave: Callable[[], object]) -> None:
        """Wait for a signal and stop the tree. If anything is not down in time, list it in `cut` and call ``leave``."""
        with self._signals.receive(*STOPPING) as signals:
            number = await _next(signals)
            self.has_begun = True
            self._log.info("stopping", signal=signal.Signals(number).name)
            self._manager.stopping("stopping")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._cut_on_signal, signals, nursery.cancel_scope)
                gc.freeze()  # reference counts free what ends; the collector would only traverse it all meanwhile
                with trio.move_on_after(self._within_s):
                    await self._system.stop()
                nursery.cancel_scope.cancel()
        self.cut = tuple(still_up(self._system.snapshot()))
        if self.cut:
            self._log.error("stop_cut", deadline_s=self._within_s, count=len(self.cut), path=self.cut[0])
            for path in self.cut[:CUT_MOST_LISTED]:
                self._log.error("cut", path=path)
            leave()

    async def _cut_on_signal(self, signals: AsyncIterator[int], stop: trio.CancelScope) -> None:
        number = await _next(signals)
        self._log.warning("stop_cut_short", signal=signal.Signals(number).name)
        stop.cancel()


@contextmanager
def ending_within(seconds: float) -> Generator[None]:
    """Have the process end at most ``seconds`` after the block, however that ends (`end_at_latest`). Log an error that ended the block.

    For code around the block that may hang: without memory trio's own tasks fail, so it cancels everything, and actors, which stop in
    order, wait in vain for answers from the thread that talks to Postgres (tests/chaos/test_memory.py).
    """
    try:
        yield
    except BaseException as error:
        with suppress(MemoryError):
            structlog.get_logger("wasup").error("failing", error=type(first_leaf(error)).__name__, where=where(error))
        raise
    finally:
        end_at_latest(seconds)


def end_at_latest(seconds: float) -> None:
    """Have the kernel end the process after ``seconds``, which needs neither memory nor a running event loop. Engines and the embedded
    Postgres end with it, as with `leave_at_once`."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    if os.getpid() == 1:
        # The kernel does not end process 1 of a container by such a signal: a C thread, which needs no loop either, has to end it.
        faulthandler.dump_traceback_later(seconds, exit=True, file=os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC))


async def _next(signals: AsyncIterator[int]) -> int:
    async for number in signals:
        return number
    raise AssertionError("signals do not end")


def leave_at_once() -> NoReturn:
    """End the process without waiting for what does not end by itself in it. Engines and the embedded Postgres end with it: the kernel
    signals them (tests/acceptance/test_service.py)."""
    os._exit(1)


def still_up(node: ActorSnapshot) -> Iterator[str]:
    """Yield the paths of actors that have not ended, deepest last. A supervisor is left out, but not what is below it."""
    if node.kind == "actor" and (node.is_stuck or node.state in UP):
        yield node.path
    for child in node.children:
        yield from still_up(child)
