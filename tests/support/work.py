"""Counts the lines of Python that run: how work grows with size, the same on every machine."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import supervisor

PACKAGE = str(Path(supervisor.__file__).parent)


class Lines:
    """How many lines of ``supervisor`` ran inside the block. A loop's body counts once a turn."""

    def __init__(self) -> None:
        self.count = 0

    def enter(self, frame: FrameType, event: str, arg: Any) -> Any:  # noqa: ANN401: what sys.settrace asks for
        """Follow the frames of the package alone, and so the resumed ones of its tasks."""
        return self.line if frame.f_code.co_filename.startswith(PACKAGE) else None

    def line(self, frame: FrameType, event: str, arg: Any) -> Any:
        self.count += 1
        return self.line


@contextmanager
def lines_run() -> Generator[Lines]:
    """Count what runs in this thread until the block ends."""
    lines, before = Lines(), sys.gettrace()
    sys.settrace(lines.enter)
    try:
        yield lines
    finally:
        sys.settrace(before)
