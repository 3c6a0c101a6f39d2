"""Where a place is in its life."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Final


class Phase(IntEnum):
    """Where a child is in its life. Integers, because those hash at once; the order means nothing."""

    PENDING = auto()
    """Waits for its turn in an ordered start or restart."""
    BACKOFF = auto()
    """Waits before it is restarted."""
    STARTING = auto()
    RUNNING = auto()
    STOPPING = auto()
    IDLE = auto()
    """Does not run; its spec is kept."""
    FAILED = auto()
    """Given up: it spent the intensity it has to itself."""
    GONE = auto()
    """Forgotten: only old refs hold the node."""


LIVE: Final = frozenset({Phase.STARTING, Phase.RUNNING, Phase.STOPPING})
"""There is a task."""
