"""Writes lines to a descriptor that may block, in a thread of its own, so that no other thread waits."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, final

_BATCH_BYTES: Final = 64 * 1024
_FAILURES_MOST: Final = 3
"""After this many errors in a row the rest of a batch is given up; the next batch is tried again."""


@final
class LineQueue:
    """Takes lines from any thread without ever waiting, and writes them in order.

    At most ``max_bytes`` wait. When they do, new lines are dropped and counted in `lost`; once there is room again,
    ``describe_loss`` of their number is written in their place. A write that fails (disk full, reader gone) loses its
    lines in the same way.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        max_bytes: int,
        describe_loss: Callable[[int], bytes],
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        self._descriptor = descriptor
        self.max_bytes = max_bytes
        self._describe_loss = describe_loss
        self._write = write
        self._changed = threading.Condition()
        self._items: deque[bytes | int] = deque()
        """Lines with their line ends, and the number of lines lost between them."""
        self._bytes = 0
        """Bytes of all unwritten lines, including those being written."""
        self._gap = 0
        """Lines lost since the last one that was queued."""
        self._is_torn = False
        """Whether the last written line is incomplete."""
        self._is_closing = False
        self.lost = 0
        """Lines that were never written, since the start."""
        self._thread = threading.Thread(target=self._run, name="lines", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are not written yet."""
        return self._bytes

    def put(self, line: bytes) -> None:
        """Queue one line, given without its line end, or count it as lost."""
        with self._changed:
            if self._is_closing or self._bytes + len(line) + 1 > self.max_bytes:
                self._lose(1)
                return
            self._mark_gap()
            self._items.append(line + b"\n")
            self._bytes += len(line) + 1
            self._changed.notify()

    def close(self, *, within_s: float) -> bool:
        """Refuse further lines. Return whether all queued lines were written within the time; the rest is never written."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _lose(self, lines: int) -> None:
        self.lost += lines
        self._gap += lines

    def _mark_gap(self) -> None:
        if self._gap:
            self._items.append(self._gap)
            self._gap = 0

    def _run(self) -> None:
        while items := self._next_items():
            texts = [self._describe_loss(item) + b"\n" if isinstance(item, int) else item for item in items]
            written = self._write_all(b"".join(texts))
            with self._changed:
                self._note_written(items, texts, written)

    def _next_items(self) -> list[bytes | int]:
        """Return about `_BATCH_BYTES` of waiting lines, at least one line; empty at the end."""
        with self._changed:
            while not self._items and not self._is_closing:
                self._changed.wait()
            items: list[bytes | int] = []
            size = 0
            while self._items and size < _BATCH_BYTES:
                item = self._items.popleft()
                items.append(item)
                size += len(item) if isinstance(item, bytes) else 0
            return items

    def _note_written(self, items: list[bytes | int], texts: list[bytes], written: int) -> None:
        """Update the counters. A line that was written in part counts as lost."""
        end = 0
        for item, text in zip(items, texts, strict=True):
            end += len(text)
            self._bytes -= len(item) if isinstance(item, bytes) else 0
            if end <= written:
                continue
            if isinstance(item, int):
                self._gap += item
            else:
                self._lose(1)
            self._is_torn = self._is_torn or end - len(text) < written
        if end == written and not self._items:
            self._mark_gap()

    def _write_all(self, batch: bytes) -> int:
        """Return how many bytes of the batch were written before a permanent error."""
        written = failures = 0
        if self._is_torn and not self._end_torn_line():
            return 0
        while written < len(batch):
            try:
                written += self._write(self._descriptor, batch[written:])
                failures = 0
            except BlockingIOError:
                # Another process has made the shared descriptor non-blocking.
                select.select([], [self._descriptor], [])
            except OSError:
                failures += 1
                if failures == _FAILURES_MOST:
                    break
        return written

    def _end_torn_line(self) -> bool:
        try:
            self._write(self._descriptor, b"\n")
        except OSError:
            return False
        self._is_torn = False
        return True
