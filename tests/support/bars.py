"""How long a test waits for something that has a bar: the bar is printed and judged by a reader, not by a busy machine."""

from __future__ import annotations

from typing import Final

PATIENCE: Final = 6.0
"""A test fails after this many times the bar. Six test processes on two cores needed three times of it."""


def patience(bar_s: float) -> float:
    """Seconds to wait for something that is to take ``bar_s`` on a free machine."""
    return bar_s * PATIENCE
