"""Failed connections in the log: the first of a kind at once, those within the next minute as one line with their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

import structlog
import trio

EVERY_S: Final = 60.0
MAX_KINDS: Final = 100
"""Kinds that are counted apart; all further ones count as one kind. A kind is a place in the code, so there are few."""


@final
class FailureLog:
    """Logs why connections failed. A client that provokes the same failure again and again causes one line a minute."""

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._log = structlog.get_logger("wasup.http")

    def note(self, error: str, where: Sequence[str]) -> None:
        """Note that a connection failed with an exception of this name, raised through these places."""
        kind = f"{error} {where[-1] if where else ''}"
        if kind not in self._counts and len(self._counts) >= MAX_KINDS:
            kind = "other"
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        now = trio.current_time()
        if now - self._told_at.get(kind, -EVERY_S) < EVERY_S:
            return
        self._log.error("connection_failed", error=error, where=list(where), count=count)
        self._told_at[kind], self._counts[kind] = now, 0
