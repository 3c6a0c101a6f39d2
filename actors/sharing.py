"""How the daemon's users share limited resources: slots, which are taken or refused, and turns, which are waited for.

A holder is any name: a key, a company, an address. Everything but waiting is synchronous; one event loop.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Callable, Generator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar, final

import trio

RESERVE: Final = 0.1
"""The share of all slots that is for administrators only."""
FREE_FOR_EACH_HELD: Final = 2
"""A holder gets one more slot only while this many are free for each that it holds: a holder alone gets a third of all."""


N = TypeVar("N")
T = TypeVar("T")


class NoSlot(Exception):
    """There is no slot for this holder now. The text says whether it holds its share, or all are taken."""


@final
class SharedSlots:
    """``limit`` slots. Whatever a few holders take, a holder without a slot gets one at once, and so does an administrator.

    The last tenth (``reserve``) is for administrators. Any other holder gets one more slot while twice as many as it holds are free. So a
    holder alone can have a third, and later holders find slots free, without a separate setting for each limit.
    """

    def __init__(self, limit: int, *, reserve: float = RESERVE) -> None:
        self.limit = limit
        self.refused = 0
        """How many times a slot was refused."""
        self._reserve = min(math.ceil(limit * reserve), max(limit - 1, 0))
        self._held: Counter[str] = Counter()
        self._admins = 0

    @property
    def taken(self) -> int:
        """How many slots are taken."""
        return self._held.total() + self._admins

    @property
    def free(self) -> int:
        """How many slots are left for holders other than administrators."""
        return self.limit - self._reserve - self._held.total() - max(0, self._admins - self._reserve)

    def take(self, holder: str, count: int = 1, *, is_admin: bool = False) -> None:
        """Take one slot, or ``count`` for things that belong together, until `give_back`. Raises `NoSlot`, having taken none."""
        free = self.limit - self.taken if is_admin else self.free
        held = 0 if is_admin else self._held[holder]
        if free < count or (held and free <= FREE_FOR_EACH_HELD * held):
            self.refused += 1
            raise NoSlot(
                f"{held} of {self.limit} are taken by one, the rest is for others" if held else "all are taken"
            )
        if is_admin:
            self._admins += count
        else:
            self._held[holder] = held + count

    def give_back(self, holder: str, count: int = 1, *, is_admin: bool = False) -> None:
        """Give back what `take` took with the same arguments."""
        if is_admin:
            self._admins -= count
        elif self._held[holder] > count:
            self._held[holder] -= count
        else:
            del self._held[holder]

    @contextmanager
    def hold(self, holder: str, *, is_admin: bool = False) -> Generator[None]:
        """Hold a slot for the length of the block. Raises `NoSlot`."""
        self.take(holder, is_admin=is_admin)
        try:
            yield
        finally:
            self.give_back(holder, is_admin=is_admin)


@dataclass(slots=True, eq=False)
class _Waiter:
    has_turn: trio.Event


@final
class Turns:
    """At most ``limit`` turns at once, and at most ``limit_of_one`` of one holder. Turns go from holder to holder, not in order of arrival.

    So a holder that wants one turn waits for at most one of each other holder, however many they want.
    """

    def __init__(self, limit: int, limit_of_one: int) -> None:
        self._limit = limit
        self._limit_of_one = limit_of_one
        self._under_way: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[_Waiter]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many callers wait."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self, holder: str) -> AsyncGenerator[None]:
        """Wait for a turn, and hold it for the length of the block."""
        await self.begin(holder)
        try:
            yield
        finally:
            self.end(holder)

    async def begin(self, holder: str) -> None:
        """Wait for a turn. `end` ends it."""
        waiter = _Waiter(trio.Event())
        self._waiting.setdefault(holder, deque()).append(waiter)
        self._give_turns()
        try:
            await waiter.has_turn.wait()
        except trio.Cancelled:
            if waiter.has_turn.is_set():
                self.end(holder)
            else:
                self._leave(holder, waiter)
            raise

    def end(self, holder: str) -> None:
        """End a turn."""
        self._under_way[holder] -= 1
        if not self._under_way[holder]:
            del self._under_way[holder]
        self._give_turns()

    def _give_turns(self) -> None:
        while self._under_way.total() < self._limit and (holder := self._next()) is not None:
            waiter = self._waiting[holder].popleft()
            if self._waiting[holder]:
                self._waiting.move_to_end(holder)
            else:
                del self._waiting[holder]
            self._under_way[holder] += 1
            waiter.has_turn.set()

    def _next(self) -> str | None:
        return next((h for h in self._waiting if self._under_way[h] < self._limit_of_one), None)

    def _leave(self, holder: str, waiter: _Waiter) -> None:
        self._waiting[holder].remove(waiter)
        if not self._waiting[holder]:
            del self._waiting[holder]


def evict_from_largest(kept: MutableMapping[N, T], holder_of: Callable[[N], str]) -> N:
    """Remove the oldest entry, the first in order, of the holder with the most entries, and return its name."""
    largest, _ = Counter(map(holder_of, kept)).most_common(1)[0]
    name = next(name for name in kept if holder_of(name) == largest)
    del kept[name]
    return name
