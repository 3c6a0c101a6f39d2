"""storage/embedded/log.py."""

from __future__ import annotations

from pathlib import Path

from storage.embedded.log import ServerLog


def test_a_log_that_grew_is_moved_aside(tmp_path: Path) -> None:
    """Beyond the limit the contents go to the predecessor, and a process that has the file open goes on writing to it."""
    log = ServerLog(tmp_path / "server.log")
    with log.open() as writer:
        writer.write(b"x" * 100)
        writer.flush()

        assert not log.limit(100)
        assert log.limit(99)

        writer.write(b"after")

    assert log.path.read_bytes() == b"after"
    assert (tmp_path / "server.log.1").read_bytes() == b"x" * 100


def test_a_log_that_cannot_be_moved_aside_is_emptied(tmp_path: Path) -> None:
    """On a full disk there is no room for two, and the server goes on."""
    log = ServerLog(tmp_path / "server.log")
    log.path.write_bytes(b"x" * 100)
    (tmp_path / "server.log.1").symlink_to("/dev/full")

    assert log.limit(99)
    assert log.path.read_bytes() == b""


def test_a_log_that_is_not_there_is_small(tmp_path: Path) -> None:
    """Without a file there is nothing to move, and the tail is empty."""
    log = ServerLog(tmp_path / "server.log")

    assert not log.limit()
    assert log.tail() == "It said nothing."


def test_the_tail_begins_where_asked(tmp_path: Path) -> None:
    """The tail leaves out the lines before the position, and all but the last two thousand bytes."""
    log = ServerLog(tmp_path / "server.log")
    log.path.write_bytes(b"old" + b"n" * 3000 + b"end")

    assert log.tail(3).endswith("nend")
    assert log.tail(3003) == "It said: end"
    assert len(log.tail()) < 2100
