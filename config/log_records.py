"""Writes records of the standard library's logging, which libraries use, as our log lines, limiting repeated ones."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import final

from structlog.typing import EventDict, Processor

from config.redaction import without_quotes

_MAX_KINDS = 256


@final
class LibraryHandler(logging.Handler):
    """Runs each record through ``processors`` (the last one renders) and passes the line to ``write``.

    Of records with the same logger, level and template, one in ``repeat_interval_s`` is written; the next one has the
    number left out in ``suppressed``. Otherwise an unavailable database would cause a traceback for every attempt.
    """

    def __init__(
        self,
        processors: Sequence[Processor],
        write: Callable[[bytes], None],
        *,
        repeat_interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._processors = processors
        self._write = write
        self._repeats = _Repeats(repeat_interval_s, clock)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record. Called by logging, with its lock held."""
        suppressed = self._repeats.admit((record.name, record.levelno, str(record.msg)))
        if suppressed is None:
            return
        try:
            self._write(self._line(record, suppressed))
        except Exception:  # noqa: BLE001  # logging's contract: emit never raises
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """Write a line that reports a record which cannot be formatted; its arguments are not shown."""
        record = logging.LogRecord(
            record.name, record.levelno, "", 0, "[a record that cannot be formatted]", None, None
        )
        self._write(self._line(record, 0))

    def _line(self, record: logging.LogRecord, suppressed: int) -> bytes:
        text = without_quotes(record.getMessage())
        event: EventDict = {"level": record.levelname.lower(), "logger_name": record.name, "event": text}
        if suppressed:
            event["suppressed"] = suppressed
        if record.exc_info:
            event["exc_info"] = record.exc_info
        for processor in self._processors:
            event = processor(None, record.levelname.lower(), event)  # type: ignore[assignment]  # the last one gives bytes
        return event  # type: ignore[return-value]  # see above


@final
class _Repeats:
    """The time when each kind of record was last written. The kind written longest ago is forgotten first."""

    def __init__(self, interval_s: float, clock: Callable[[], float]) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._written: OrderedDict[tuple[str, int, str], tuple[float, int]] = OrderedDict()

    def admit(self, kind: tuple[str, int, str]) -> int | None:
        """Return how many of this kind were left out since the last written one; None when this one must be left out too."""
        now = self._clock()
        at, suppressed = self._written.get(kind, (float("-inf"), 0))
        if now - at < self._interval_s:
            self._written[kind] = (at, suppressed + 1)
            return None
        self._written[kind] = (now, 0)
        self._written.move_to_end(kind)
        if len(self._written) > _MAX_KINDS:
            self._written.popitem(last=False)
        return suppressed
