"""A progress bar for commands that take over a second, on standard error when that is a terminal."""

from __future__ import annotations

import sys
import time
from typing import Final, final

_WIDTH: Final = 30
_SHOW_AFTER_S: Final = 1.0
_REDRAW_S: Final = 0.1
_ERASE: Final = "\r\x1b[K"


@final
class ProgressBar:
    """Call it with the amount done and the whole amount. Draws nothing for short work, and none to pipes and files."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._began = time.monotonic()
        self._drawn_at = 0.0

    def __call__(self, done: int, of: int) -> None:
        """Show the progress. Cheap enough to be called for every file."""
        now = time.monotonic()
        if now - self._began < _SHOW_AFTER_S or now - self._drawn_at < _REDRAW_S or not sys.stderr.isatty():
            return
        self._drawn_at = now
        filled = _WIDTH * done // max(of, 1)
        print(
            f"{_ERASE}{self._label} [{'#' * filled}{'.' * (_WIDTH - filled)}] {done}/{of}",
            end="", file=sys.stderr, flush=True,
        )  # fmt: skip

    def close(self) -> None:
        """Remove the bar."""
        if self._drawn_at:
            print(_ERASE, end="", file=sys.stderr, flush=True)
