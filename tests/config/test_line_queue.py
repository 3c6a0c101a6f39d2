"""Lines for a descriptor that may stop taking them."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from config.line_queue import LineQueue


class Sink:
    """A descriptor's other side: takes what it gets while it is open."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.busy = threading.Event()
        self.taken = b""
        self.errors: list[int] = []
        self.fail_after = 0
        """Writes that succeed before the errors."""
        self.most_at_once = 1 << 20

    def write(self, _descriptor: int, data: bytes) -> int:
        self.busy.set()
        assert self.open.wait(10)
        if self.errors and self.fail_after == 0:
            raise OSError(self.errors.pop(0), "no")
        self.fail_after = max(0, self.fail_after - 1)
        self.taken += data[: self.most_at_once]
        return len(data[: self.most_at_once])

    @property
    def lines(self) -> list[str]:
        return self.taken.decode().splitlines()


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.open.set()


def until(is_so: Callable[[], bool]) -> None:
    """Let the queue's thread run until the condition holds."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        os.sched_yield()


def has_lost(queue: LineQueue, lines: int) -> bool:
    return queue.lost == lines


def queue_for(sink: Sink, max_bytes: int = 1000) -> LineQueue:
    return LineQueue(9, max_bytes=max_bytes, describe_loss=lambda lost: b"lost %d" % lost, write=sink.write)


def test_lines_are_written_in_order(sink: Sink) -> None:
    """All accepted lines are there once it is closed, also when the descriptor takes little at once."""
    sink.open.set()
    sink.most_at_once = 3
    queue = queue_for(sink)
    for number in range(50):
        queue.put(b"line %d" % number)

    assert queue.close(within_s=10)
    assert sink.lines == [f"line {number}" for number in range(50)]
    assert (queue.lost, queue.waiting_bytes) == (0, 0)


def test_what_does_not_fit_is_counted_and_said_in_its_place(sink: Sink) -> None:
    """A descriptor that takes nothing blocks no caller; when it takes lines again the number of those that are missing comes first."""
    queue = queue_for(sink, max_bytes=60)
    queue.put(b"first")
    assert sink.busy.wait(10)
    for number in range(10):
        queue.put(b"line %02d ..." % number)

    assert queue.lost == 6
    assert queue.waiting_bytes <= 60
    sink.open.set()
    assert queue.close(within_s=10)
    assert sink.lines == ["first", *(f"line {number:02} ..." for number in range(4)), "lost 6"]


def test_a_line_after_a_loss_follows_its_notice(sink: Sink) -> None:
    """The notice stands between the lines from before and after the gap."""
    queue = queue_for(sink, max_bytes=20)
    queue.put(b"first")
    assert sink.busy.wait(10)
    queue.put(b"x" * 30)
    queue.put(b"last")
    sink.open.set()

    assert queue.close(within_s=10)
    assert sink.lines == ["first", "lost 1", "last"]


def test_a_write_that_fails_loses_its_lines_only(sink: Sink) -> None:
    """A full disk, for instance: the lines are counted, and reported once lines can be written again."""
    sink.errors = [errno.ENOSPC] * 3
    sink.open.set()
    queue = queue_for(sink)
    queue.put(b"first")
    until(lambda: queue.lost == 1)
    queue.put(b"second")

    assert queue.close(within_s=10)
    assert sink.lines == ["lost 1", "second"]


def test_a_loss_that_cannot_be_said_yet_is_said_later(sink: Sink) -> None:
    """The notice is lost with its line, its number is not."""
    sink.errors = [errno.ENOSPC] * 6
    sink.open.set()
    queue = queue_for(sink)
    for lost in (1, 2):
        queue.put(b"line")
        until(partial(has_lost, queue, lost))
    queue.put(b"third")

    assert queue.close(within_s=10)
    assert sink.lines == ["lost 2", "third"]


def test_a_torn_line_does_not_spoil_the_next(sink: Sink) -> None:
    """Its written part gets a line end, and it counts as lost."""
    sink.open.set()
    sink.most_at_once = 4
    sink.fail_after = 1
    sink.errors = [errno.ENOSPC] * 3
    queue = queue_for(sink)
    queue.put(b"torn line")
    until(lambda: queue.lost == 1)
    queue.put(b"next")

    assert queue.close(within_s=10)
    assert sink.lines == ["torn", "lost 1", "next"]


def test_a_pipe_that_is_full_and_does_not_block() -> None:
    """Another process that shares the pipe may have made it so: the thread waits for room, the line is not lost."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    queue = LineQueue(write, max_bytes=1 << 20, describe_loss=lambda lost: b"lost %d" % lost)
    for _ in range(200):
        queue.put(b"x" * 999)
    taken = b""
    while len(taken) < 200_000:
        taken += os.read(read, 65536)

    assert queue.close(within_s=10)
    assert taken == (b"x" * 999 + b"\n") * 200
    for descriptor in (read, write):
        os.close(descriptor)


def test_closing_does_not_wait_for_ever(sink: Sink) -> None:
    """Lines that cannot be written in time are dropped."""
    queue = queue_for(sink)
    queue.put(b"line")

    assert not queue.close(within_s=0.01)
    queue.put(b"after the end")
    assert queue.lost == 1
