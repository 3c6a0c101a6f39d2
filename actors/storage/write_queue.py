"""Requests that wait for their commit: one common queue, and one for each company whose rows another transaction has locked. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, final

from actors.storage import requests
from supervisor import ReplyTo

EVENTS = "/events"
LEASES = "/leases"
"""Lanes of requests without a company. No company's id has a slash."""


@dataclass(slots=True, eq=False)
class Entry:
    """A request, and the handle to reply to its caller."""

    request: Any
    reply: ReplyTo[Any]
    bytes: int
    answered: bool = False


def ordering_key_of(request: Any) -> str:
    """Return the ordering key of a request. Requests of one key are committed in order; those of other keys need not wait."""
    match request:
        case requests.CommitDelta(delta):
            return delta.company_id
        case requests.AppendEvents():
            return EVENTS
        case requests.RenewLeases():
            return LEASES
        case _:
            return str(request.company_id)


def size_of(request: Any) -> int:
    """Return the size of a request's contents in bytes."""
    match request:
        case requests.CommitDelta(delta):
            return len(delta.creds or b"") + sum(len(row.key_id) + len(row.value or b"") for row in delta.changes)
        case requests.AppendEvents(events):
            return sum(len(bytes(event.payload)) for event in events)
        case requests.KeepMedia(_, media):
            return sum(len(one.file) for one in media)
        case _:
            return 0


@final
class WriteQueue:
    """The waiting entries. Each stays until it is answered, so entries that are being committed still count."""

    def __init__(self) -> None:
        self._main: deque[Entry] = deque()
        self._aside: dict[str, deque[Entry]] = {}
        self.count = 0
        self.bytes = 0

    @property
    def lanes_aside(self) -> int:
        """How many ordering keys are set aside."""
        return len(self._aside)

    @property
    def has_main(self) -> bool:
        """Whether any entry waits in the common queue."""
        return bool(self._main)

    def is_aside(self, ordering_key: str) -> bool:
        """Return whether the ordering key is set aside."""
        return ordering_key in self._aside

    def put(self, entry: Entry) -> None:
        """Queue an entry after all others of its ordering key."""
        self._aside.get(ordering_key_of(entry.request), self._main).append(entry)
        self.count += 1
        self.bytes += entry.bytes

    def main(self, most: int) -> list[Entry]:
        """Return the oldest entries of the common queue. They stay in it."""
        return _oldest(self._main, most)

    def aside(self, ordering_key: str, most: int) -> list[Entry]:
        """Return the oldest entries of an ordering key that is set aside. They stay in it."""
        return _oldest(self._aside[ordering_key], most)

    def set_aside(self, ordering_key: str) -> None:
        """Move the entries of this ordering key to a queue of its own, also future ones."""
        # Entries after it may have been answered already: at the head of a queue they would never be removed.
        left = [entry for entry in self._main if not entry.answered]
        self._aside[ordering_key] = deque(entry for entry in left if ordering_key_of(entry.request) == ordering_key)
        self._main = deque(entry for entry in left if ordering_key_of(entry.request) != ordering_key)

    def rejoin(self, ordering_key: str) -> bool:
        """Return the ordering key to the common queue if none of its entries waits; return whether it did."""
        if self._aside[ordering_key]:
            return False
        del self._aside[ordering_key]
        return True

    def answer(self, entry: Entry, outcome: Any) -> None:
        """Reply to one entry's caller; an exception is raised there."""
        entry.answered = True
        self.count -= 1
        self.bytes -= entry.bytes
        queue = self._aside.get(ordering_key_of(entry.request), self._main)
        while queue and queue[0].answered:
            queue.popleft()
        if isinstance(outcome, Exception):
            entry.reply.fail(outcome)
        else:
            entry.reply.reply(outcome)


def _oldest(queue: deque[Entry], most: int) -> list[Entry]:
    return list(islice((entry for entry in queue if not entry.answered), most))


def by_ordering_key(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Return the entries of each ordering key, in order."""
    by_key: dict[str, list[Entry]] = {}
    for entry in entries:
        by_key.setdefault(ordering_key_of(entry.request), []).append(entry)
    return by_key
