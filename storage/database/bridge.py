"""The one place that knows asyncio: an asyncio loop in a thread of its own, called from trio.

asyncpg needs asyncio; the rest of the daemon is trio. Calls go through anyio's blocking portal. What the portal lacks
is added here:

- asyncpg expects to be cancelled once and then to clean up undisturbed, but anyio repeats a cancellation until the task
  has ended. That interrupts the clean-up and lets a write land after trio has reported the cancellation.
  `Bridge.call` delivers one cancellation.
- A write in flight is never cancelled: `Bridge.call_shielded`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, TypeVarTuple, final

import anyio
import anyio.from_thread
import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_log = logging.getLogger(__name__)


@final
class BridgeClosed(Exception):
    """The asyncio side has stopped."""


@final
class Bridge:
    """Runs coroutine functions on the asyncio side. Made by `open_bridge`; usable from one trio run."""

    def __init__(self, portal: anyio.from_thread.BlockingPortal) -> None:
        self._portal = portal

    async def call(self, fn: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Run ``await fn(*args)`` on the asyncio side and return its result.

        Cancelling the caller cancels the call once and waits until it has cleaned up; its result or error is then
        dropped. Raises `BridgeClosed` when the asyncio side has stopped.
        """
        return await self._run(_with_one_cancel, fn, args)

    async def call_shielded(self, fn: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Like `call`, but a call that has begun runs to its end even when the caller is cancelled. The caller waits
        for it and gets the outcome.

        ``fn`` must bound its own time. A caller that is already cancelled does not begin.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):
            return await self._run(fn, *args)  # never cancelled, so it needs no task of its own over there
        raise AssertionError("nobody cancels the shield itself")

    async def _run(self, fn: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        try:
            return await self._portal.call_async(fn, *args)
        except concurrent.futures.CancelledError:
            raise BridgeClosed from None
        except RuntimeError as exc:
            raise self._closed_or(exc) from None

    def _closed_or(self, exc: RuntimeError) -> Exception:
        # anyio has no narrower type for a stopped portal.
        return BridgeClosed() if "portal is not running" in str(exc) else exc


async def _with_one_cancel(fn: Callable[[*Ts], Awaitable[T]], args: tuple[*Ts]) -> T:
    task = asyncio.ensure_future(fn(*args))
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not report it as never retrieved
        raise
    return task.result()


@asynccontextmanager
async def open_bridge() -> AsyncGenerator[Bridge]:
    """Start the asyncio thread (uvloop). Leaving the block cancels calls that still run and ends the thread."""
    manager = anyio.from_thread.start_blocking_portal("asyncio", {"use_uvloop": True}, name="wasup-asyncio")
    portal = await trio.to_thread.run_sync(manager.__enter__)
    try:
        await portal.call_async(_log_loop_errors_briefly)
        yield Bridge(portal)
    finally:
        with trio.CancelScope(shield=True):
            await portal.call_async(portal.stop, True)
            await trio.to_thread.run_sync(manager.__exit__, None, None, None)


async def _log_loop_errors_briefly() -> None:
    asyncio.get_running_loop().set_exception_handler(_log_loop_error)


def _log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # A lost server causes such reports by the dozen; their tracebacks say nothing that the caller's error does not.
    exception = context.get("exception")
    _log.debug("asyncio: %s (%s)", context.get("message"), type(exception).__name__)
