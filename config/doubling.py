"""Pauses before the next attempt, which double. The caller adds the randomness.

The supervision core has its own back-off (supervisor.Backoff): it must not depend on any other package of this project.
"""

from __future__ import annotations

from typing import final

_MOST_DOUBLINGS = 32


def doubled(first_s: float, most_s: float, times: int) -> float:
    """Return ``first_s`` doubled ``times`` times, at most ``most_s``. Seconds."""
    return min(most_s, first_s * 2.0 ** min(times, _MOST_DOUBLINGS))


@final
class Doubling:
    """Pauses in seconds: ``first_s``, twice that, and so on up to ``most_s``; `reset` starts again."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._times = 0

    def next_s(self) -> float:
        """Return the pause before the next attempt."""
        self._times += 1
        return doubled(self._first_s, self._most_s, self._times - 1)

    def reset(self) -> None:
        """Start again with ``first_s``, after a successful attempt."""
        self._times = 0
