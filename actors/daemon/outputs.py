"""The daemon's standard output (its log) and standard error (a few lines for people): neither ever makes the daemon wait."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from actors.daemon.metric_types import Sample
from config import logging
from config.line_queue import LineQueue
from config.logging import describe_loss
from config.sections import LogSettings
from config.settings import LogLevel

CLOSE_WITHIN_S: Final = 1.0
"""How long the end waits for a reader to take what is not written yet."""

_OUTPUT: Final = 1
_ERROR: Final = 2
_ERROR_BYTES: Final = 65_536


@final
class Outputs:
    """Owns the two descriptors until `close`. A process has one."""

    def __init__(self, limits: LogSettings) -> None:
        self._log = LineQueue(_OUTPUT, max_bytes=limits.queue_bytes, describe_loss=describe_loss)
        self._error = LineQueue(
            _ERROR, max_bytes=_ERROR_BYTES, describe_loss=lambda lines: b"wasup: %d lines were lost" % lines
        )

    def configure_log(self, level: LogLevel, limits: LogSettings) -> None:
        """Log to standard output from now on."""
        logging.configure(level, limits, self._log)

    def tell(self, text: str) -> None:
        """Print a text to standard error, for the person who started the daemon by hand."""
        for line in text.splitlines():
            self._error.put(line.encode(errors="replace"))

    def samples(self) -> Iterable[Sample]:
        """For the metrics."""
        lost = self._log.lost + self._error.lost
        yield Sample("wasup_log_lines_lost", "Log lines that standard output did not take", lost, kind="counter")
        yield Sample("wasup_log_waiting_bytes", "Bytes of log lines that wait to be written", self._log.waiting_bytes)

    def close(self) -> None:
        """Write what is not written yet, as far as readers take it within `CLOSE_WITHIN_S`."""
        for queue in (self._log, self._error):
            queue.close(within_s=CLOSE_WITHIN_S)
