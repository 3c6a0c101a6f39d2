"""Wait for something that trio cannot see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


async def wait_until(condition: Callable[[], Awaitable[bool] | bool], *, seconds: float = 10.0) -> None:
    """Return once the condition holds; `trio.TooSlowError` when it does not within ``seconds``. Needs the real
    clock."""
    with trio.fail_after(seconds):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await trio.sleep(0.005)
