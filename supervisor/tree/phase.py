"""The phases of a place in the tree."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Final


class Phase(IntEnum):
    """The phase of a child. Integers, because those hash fast; the order has no meaning."""

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
    """Given up: it exceeded the intensity of its own."""
    GONE = auto()
    """Forgotten: only old refs hold the node."""


LIVE: Final = frozenset({Phase.STARTING, Phase.RUNNING, Phase.STOPPING})
"""The phases with a task."""
