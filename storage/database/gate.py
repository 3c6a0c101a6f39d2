"""One gate for all new connections: while the server is away, one attempt at a time with back-off between attempts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar, final

from config.doubling import doubled

T = TypeVar("T")


@final
class ReconnectGate:
    """Runs on the asyncio side. An open gate lets all attempts through at once; after a failure it serialises them until one succeeds.

    After the n-th failure in a row no attempt starts for ``base_s * 2**n``, at most ``limit_s``, less up to half of
    that at random.
    """

    def __init__(self, *, base_s: float = 0.05, limit_s: float = 2.0) -> None:
        self._base_s = base_s
        self._limit_s = limit_s
        self._not_before = 0.0
        self._turn = asyncio.Lock()
        self._jitter = random.Random()  # noqa: S311  spreads retries, guards nothing
        self.failures_in_a_row = 0
        self.attempts = 0
        self.failures = 0

    @property
    def is_open(self) -> bool:
        """Whether the last attempt succeeded, or there was none."""
        return self.failures_in_a_row == 0

    async def attempt(self, connect: Callable[[], Awaitable[T]]) -> T:
        """Run ``connect`` when it is its turn. Whatever it raises, a cancellation included, counts as a failure.

        The caller bounds the wait by cancelling this call.
        """
        if self.is_open:
            return await self._try(connect)
        async with self._turn:
            if not self.is_open:
                await asyncio.sleep(self._not_before - asyncio.get_running_loop().time())
                return await self._try(connect)
        return await self._try(connect)

    async def _try(self, connect: Callable[[], Awaitable[T]]) -> T:
        self.attempts += 1
        before = self.failures_in_a_row
        try:
            connection = await connect()
        except BaseException:  # a cancelled attempt means that a hung server did not answer in time
            self._failed(before + 1)
            raise
        self.failures_in_a_row = 0
        return connection

    def _failed(self, in_a_row: int) -> None:
        self.failures += 1
        if in_a_row <= self.failures_in_a_row:
            return  # one of several that began together: they count as one failure, not a row
        self.failures_in_a_row = in_a_row
        delay = doubled(self._base_s, self._limit_s, in_a_row - 1)
        self._not_before = asyncio.get_running_loop().time() + delay * self._jitter.uniform(0.5, 1.0)
