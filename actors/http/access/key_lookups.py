"""Lookups of keys, many in one statement: at most one query is under way, however many keys are tried.

So a right key among any number of wrong ones costs as much as one key, and no key is refused unchecked to spare the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from itertools import islice
from typing import Final, Generic, TypeVar, final

import trio

MAX_AT_ONCE: Final = 1000
"""Digests in one statement; the earliest waiting go first."""

T = TypeVar("T")


@final
class KeyLookups(Generic[T]):
    """Collects lookups and calls ``find_all``, which returns the found entries by digest."""

    def __init__(self, find_all: Callable[[Collection[bytes]], Awaitable[Mapping[bytes, T]]]) -> None:
        self._find_all = find_all
        self._turn = trio.Lock()
        self._waiting: dict[bytes, list[_Lookup[T]]] = {}

    async def find(self, digest: bytes) -> T | None:
        """Return the entry of this digest, from a query that began after this call, or None. Raises what ``find_all`` raises."""
        lookup = _Lookup[T]()
        self._waiting.setdefault(digest, []).append(lookup)
        try:
            async with self._turn:
                if not lookup.is_over:
                    await self._look_up()
        finally:
            self._leave(digest, lookup)
        if lookup.error is not None:
            raise lookup.error
        return lookup.found

    async def _look_up(self) -> None:
        # The caller whose turn it is asks for all that wait; if it is cancelled, the next one asks.
        asked = {digest: tuple(self._waiting[digest]) for digest in islice(self._waiting, MAX_AT_ONCE)}
        try:
            found = await self._find_all(asked.keys())
        except Exception as error:  # noqa: BLE001  # every caller that waits for it raises it
            for lookups in asked.values():
                for lookup in lookups:
                    lookup.end(None, error)
        else:
            for digest, lookups in asked.items():
                for lookup in lookups:
                    lookup.end(found.get(digest))

    def _leave(self, digest: bytes, lookup: _Lookup[T]) -> None:
        lookups = self._waiting[digest]
        lookups.remove(lookup)
        if not lookups:
            del self._waiting[digest]


@final
class _Lookup(Generic[T]):
    def __init__(self) -> None:
        self.found: T | None = None
        self.error: Exception | None = None
        self.is_over = False

    def end(self, found: T | None, error: Exception | None = None) -> None:
        self.found, self.error, self.is_over = found, error, True
