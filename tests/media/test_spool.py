"""Where files lie during a transfer."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import trio

from actors.media.spool import LEFT_AFTER_S, Spool


async def test_a_file_is_gone_after_its_block(tmp_path: Path) -> None:
    """However the block ends, and also when nothing was written."""
    spool = Spool(tmp_path / "media")
    with trio.CancelScope() as scope:
        async with spool.file() as path:
            path.write_bytes(b"x")
            scope.cancel()
            await trio.sleep_forever()
    async with spool.file() as never:
        pass

    assert not path.exists()
    assert not never.exists()
    assert stat.S_IMODE((tmp_path / "media").stat().st_mode) == 0o700


async def test_what_a_killed_daemon_left_goes(tmp_path: Path) -> None:
    """Old files have no owner; young ones may have one."""
    spool = Spool(tmp_path)
    old, young = tmp_path / "old", tmp_path / "young"
    for path in (old, young):
        path.write_bytes(b"x")
    long_ago = time.time() - LEFT_AFTER_S - 5
    os.utime(old, (long_ago, long_ago))

    await spool.new()

    assert (old.exists(), young.exists()) == (False, True)
