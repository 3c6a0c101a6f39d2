"""Wait for other processes: look again and again, with a deadline and a text for what did not come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

LOOK_EVERY_S = 0.02
T = TypeVar("T")


async def eventually(what: str, look: Callable[[], Awaitable[T | None]], *, within: float) -> T:
    """Return the first true value that ``look`` returns. AssertionError says what was waited for, how long, and what was seen last."""
    seen: T | None = None
    with trio.move_on_after(within):
        while True:
            seen = await look()
            if seen:
                return seen
            await trio.sleep(LOOK_EVERY_S)
    raise AssertionError(f"waited {within:g} s in vain for {what}; seen last: {seen!r}")
