"""Logs: one JSON object a line on standard output, redacted by an allow-list; libraries' records take the same path.

Use ``log = logger(__name__)``, constant event texts and data in fields: ``log.info("connected", company_id=…)``.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import IO, cast, final

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from config.line_queue import LineQueue
from config.log_records import LibraryHandler
from config.redact_event import Redactor
from config.sections import LogSettings
from config.settings import LogLevel

_LEVELS: dict[LogLevel, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure(
    level: LogLevel = "info", limits: LogSettings | None = None, output: IO[bytes] | LineQueue | None = None
) -> None:
    """Set up logging for the process; a later call replaces an earlier one. Without ``output`` lines go to standard output.

    A stream is written by the logging thread, which waits as long as the stream does. A daemon must pass a `LineQueue`.

    Records of libraries are logged from `warning` on at every level: their lower levels may contain the messages they
    carry.
    """
    limits = LogSettings() if limits is None else limits
    write = output.put if isinstance(output, LineQueue) else LineWriter(output or sys.stdout.buffer).msg
    redactor = Redactor(limits.max_value_chars)
    shared: list[Processor] = [structlog.processors.TimeStamper(fmt="iso", utc=True), redactor, _render]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, *shared],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=partial(NamedWriter, write),
        cache_logger_on_first_use=False,
    )
    handler = LibraryHandler(shared, write, repeat_interval_s=limits.repeat_interval_s)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, _LEVELS[level]))
    logging.captureWarnings(True)


def logger(name: str) -> FilteringBoundLogger:
    """Return a logger whose lines have ``name``; it follows `configure` even when that is called later."""
    return cast("FilteringBoundLogger", structlog.get_logger(name))


def describe_loss(lines: int) -> bytes:
    """Return the line that replaces ``lines`` lines which could not be written (`LineQueue`)."""
    event: EventDict = {"level": "warning", "logger": __name__, "event": "log_lines_lost", "count": lines}
    return _render(None, "warning", structlog.processors.TimeStamper(fmt="iso", utc=True)(None, "warning", event))


@final
class LineWriter:
    """Writes lines from any thread. When writing fails, the line is lost and counted, and no error is raised."""

    def __init__(self, output: IO[bytes]) -> None:
        self._output = output
        self._lock = threading.Lock()
        self.lost = 0

    def msg(self, line: bytes) -> None:
        """Write one line."""
        with self._lock:
            try:
                self._output.write(line + b"\n")
                self._output.flush()
            except (OSError, ValueError):  # ValueError: the stream is closed
                self.lost += 1


@final
class NamedWriter:
    """A logger for structlog: a name, which `Redactor` puts on the line, and the function that writes lines."""

    def __init__(self, write: Callable[[bytes], None], name: str = "") -> None:
        self.name = name
        self.debug = self.info = self.warning = self.error = self.critical = write


def _render(_logger: WrappedLogger, _name: str, event: EventDict) -> bytes:
    return msgspec.json.encode(event)
