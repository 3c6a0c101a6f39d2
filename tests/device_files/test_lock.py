"""A device file belongs to one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from actors.device_files.lock import FileLock
from tests.engine.daemon import ROOT

HOLDER = """
import sys, time
from pathlib import Path
from actors.device_files.lock import FileLock
print(FileLock(Path(sys.argv[1])).take(), flush=True)
time.sleep(60)
"""


def test_a_second_lock_is_refused_until_the_first_is_released(tmp_path: Path) -> None:
    """And releasing twice does nothing."""
    first, second = FileLock(tmp_path / "x.db"), FileLock(tmp_path / "x.db")

    taken = [first.take(), second.take()]
    first.release()
    first.release()

    assert taken == [True, False]
    assert second.take()
    second.release()


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    """kill -9 leaves no lock that has to be removed by hand."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "x.db")], stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        held = process.stdout.readline()
        mine = FileLock(tmp_path / "x.db")
        while_held = mine.take()
        process.kill()
        process.wait()

    assert (held, while_held, mine.take()) == (b"True\n", False, True)
    mine.release()


def test_files_of_different_companies_are_independent(tmp_path: Path) -> None:
    """One lock a file."""
    first, second = FileLock(tmp_path / "x.db"), FileLock(tmp_path / "y.db")

    assert [first.take(), second.take()] == [True, True]
    first.release()
    second.release()


def test_a_lock_that_was_removed_is_nobodys(tmp_path: Path) -> None:
    """A process that opened the lock file before its removal must not take another's new one for its own."""
    first, late = FileLock(tmp_path / "x.db"), FileLock(tmp_path / "x.db")
    first.take()
    opened = os.open(tmp_path / "x.db.lock", os.O_RDWR)
    with patch.object(os, "open", return_value=opened):
        first.remove()
        taken = late.take()

    assert not taken
    assert list(tmp_path.iterdir()) == []
