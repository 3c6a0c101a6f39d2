"""The check that no test leaves a process behind can fail."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

from tests.support.leftovers import find_left


def test_a_child_is_found() -> None:
    """While it runs, and no longer."""
    before = frozenset(find_left("no such mark"))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        assert child.pid in find_left("no such mark", before)
        child.kill()
        child.wait()

    assert child.pid not in find_left("no such mark", before)


def test_a_grandchild_whose_parent_is_gone_is_found() -> None:
    """By the mark in its environment."""
    mark = uuid.uuid4().hex
    before = frozenset(find_left("no such mark"))
    code = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=0, stdout=2);"
        "print(child.pid, flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "A_MARK": mark},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        parent.wait()

        assert list(find_left(mark, before)) == [grandchild]
        os.kill(grandchild, 9)
