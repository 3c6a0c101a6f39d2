"""The engine process's standard error: one redacted JSON object per line, ``{"level", "company", "logger", "text"}``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final, final

import msgspec

from config.engine_log_redaction import redact

STDERR: Final = 2

WINDOW_S: Final = 60.0
LINES_A_WINDOW: Final = 120
"""The most lines of a company per minute: a peer that provokes warnings must not fill the log."""


@final
class EngineLog:
    """The log of one company, or (``company`` empty) of the process. Any thread may use it."""

    def __init__(self, company: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._company = company
        self._clock = clock
        self._window = clock()
        self._lines = 0
        self._lost = 0
        """Lines that could not be printed since the last one that could."""

    def note(self, text: str) -> None:
        self._write("info", "engine", text)

    def caution(self, text: str) -> None:
        self._write("warning", "engine", text)

    def failure(self, text: str) -> None:
        self._write("error", "engine", text)

    def library(self, level: str, logger: str, text: str) -> None:
        """Print a line of whatsmeow's own log."""
        self._write("error" if level == "ERROR" else "warning", f"whatsmeow/{logger}", text)

    def _write(self, level: str, logger: str, text: str) -> None:
        if self._clock() - self._window > WINDOW_S:
            left_out, self._window, self._lines = self._lines - LINES_A_WINDOW, self._clock(), 0
            if left_out > 0:
                self._say("warning", "engine", f"{left_out} more lines were left out")
        self._lines += 1
        if self._lines <= LINES_A_WINDOW:
            self._say(level, logger, text)

    def _say(self, level: str, logger: str, text: str) -> None:
        said = redact(text)
        if not said:
            return
        if self._lost and self._print("warning", "engine", f"{self._lost} lines were lost", lost=self._lost):
            self._lost = 0
        if not self._print(level, logger, said):
            self._lost += 1

    def _print(self, level: str, logger: str, text: str, **facts: int) -> bool:
        """Print a line; return False when it was dropped because the daemon does not read (`actors.engine.process.unblock_stderr`)."""
        line = msgspec.json.encode({"level": level, "company": self._company, "logger": logger, "text": text, **facts})
        try:
            # One write per line: lines of different threads do not mix, and nothing is left in a buffer when the process ends.
            os.write(STDERR, line + b"\n")
        except OSError:
            return False
        return True
