"""Rows that a page follows. Each knows when it last changed, so a reader gets the difference to what it has, however far behind it is.

Nothing is queued for a slow reader: it gets the newest state of each row when it asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Generic, TypeVar, final

import msgspec

R = TypeVar("R", bound=msgspec.Struct)

Chooser = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Entry(Generic[R]):
    """One row, encoded once for all readers."""

    row: R
    encoded: msgspec.Raw


@dataclass(slots=True)
class View:
    """What one reader has received."""

    is_new: bool = True
    version: int = 0
    names: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class Difference:
    """The changes that bring a reader up to date. ``is_whole``: forget all rows that were sent before."""

    is_whole: bool
    rows: tuple[msgspec.Raw, ...]
    gone: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.is_whole or self.rows or self.gone)


@final
class Table(Generic[R]):
    """The newest rows, at most ``limit``, by name."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: dict[str, Entry[R]] = {}
        self._versions: dict[str, int] = {}
        """Version of each row by name, in the order of change, newest last."""
        self._version = 0
        self._removed_at = 0
        self.is_filled = False
        """Whether the rows have been set at least once."""
        self.total = 0
        """Number of rows, including those beyond the limit."""

    @property
    def names(self) -> AbstractSet[str]:
        """Names of all rows, in their order."""
        return self._entries.keys()

    def get(self, name: str) -> R | None:
        """Return the row of that name."""
        entry = self._entries.get(name)
        return None if entry is None else entry.row

    def replace(self, rows: Iterable[tuple[str, R]], total: int) -> bool:
        """Make these all rows, in this order; return whether that changed anything."""
        before, total_before = self._version, self.total
        entries: dict[str, Entry[R]] = {}
        for name, row in rows:
            if len(entries) >= self._limit:
                break
            entries[name] = self._kept(name, row)
        if self._entries.keys() - entries.keys():
            self._version += 1
            self._removed_at = self._version
            self._versions = {name: version for name, version in self._versions.items() if name in entries}
        is_first = not self.is_filled
        self._entries, self.total, self.is_filled = entries, total, True
        return is_first or self._version != before or total != total_before

    def put(self, name: str, row: R) -> bool:
        """Set one row; return whether that changed anything. A row that is not in the table (any more) stays out."""
        before = self._version
        if name in self._entries:
            self._entries[name] = self._kept(name, row)
        return self._version != before

    def difference(self, view: View, chosen: Chooser | None = None) -> Difference:
        """Return the changes of the ``chosen`` rows that ``view`` lacks, and count them as received."""
        if view.is_new:
            names = [name for name in self._entries if chosen is None or chosen(name)]
            gone: tuple[str, ...] = ()
            view.names = set(names)
        else:
            names = self._changed_since(view.version, chosen)
            gone = self._gone_since(view)
            view.names.update(names)
        difference = Difference(view.is_new, tuple(self._entries[name].encoded for name in names), gone)
        view.is_new, view.version = False, self._version
        return difference

    def _kept(self, name: str, row: R) -> Entry[R]:
        entry = self._entries.get(name)
        if entry is not None and entry.row == row:
            return entry
        self._version += 1
        self._versions.pop(name, None)
        self._versions[name] = self._version
        return Entry(row, msgspec.Raw(msgspec.json.encode(row)))

    def _changed_since(self, version: int, chosen: Chooser | None) -> list[str]:
        names: list[str] = []
        for name in reversed(self._versions):
            if self._versions[name] <= version:
                break
            if chosen is None or chosen(name):
                names.append(name)
        return names[::-1]

    def _gone_since(self, view: View) -> tuple[str, ...]:
        if self._removed_at <= view.version:
            return ()
        gone = tuple(sorted(view.names - self._entries.keys()))
        view.names.difference_update(gone)
        return gone


def of_companies(companies: frozenset[str] | None) -> Chooser | None:
    """Return a function that chooses the rows of these companies; None: all."""
    return None if companies is None else companies.__contains__
