"""The whole run's last check: no process that a test started, directly or not, is left."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support.processes import alive, command_line, descendants, mentioning

WITHIN_S: Final = 10.0
"""Processes whose owner has just ended may take this long to notice."""


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Fail the run when a process is left; it is set up before every other fixture and so checked last."""
    mark = f"wasup-tests-{uuid.uuid4().hex}"
    before = descendants(os.getpid())
    # Every child inherits it in its environment, also one that became a child of process 1.
    os.environ["PYTEST_RUN_MARK"] = mark
    yield
    del os.environ["PYTEST_RUN_MARK"]
    deadline = time.monotonic() + WITHIN_S
    while (left := find_left(mark, before)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == {}, f"left running: {left}"


def find_left(mark: str, before: frozenset[int] = frozenset()) -> dict[int, str]:
    """The command lines of running processes that are below this one or carry the mark."""
    below = alive(descendants(os.getpid()) - before)
    found = {pid: command_line(pid) for pid in below} | mentioning(mark)
    return {pid: line for pid, line in found.items() if pid != os.getpid()}
