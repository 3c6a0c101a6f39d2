"""The state directory."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from config.errors import StateDirectoryBusyError, StateDirectoryError
from config.state import (
    Running,
    announce,
    find_running,
    hold_state_dir,
    is_held,
    prepare_state_dir,
    private_socket,
)

HOLDER = """
import sys
from collections.abc import Iterator
from pathlib import Path
from config.state import Running, announce, hold_state_dir
path = Path(sys.argv[1])
with hold_state_dir(path):
    announce(path, Running(pid=1, url="http://127.0.0.1:1", socket="run/api.sock"))
    print("held", flush=True)
    sys.stdin.read()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_it_is_made_for_its_owner(tmp_path: Path, umask: int) -> None:
    """Whatever the umask, others cannot list it; below root's they can enter to reach what is theirs."""
    before = os.umask(umask)
    try:
        prepare_state_dir(tmp_path / "a" / "b")
    finally:
        os.umask(before)

    is_root = os.geteuid() == 0
    assert (0o711 if is_root else 0o700) == mode(tmp_path / "a" / "b")
    assert (0o755 if is_root else 0o700) == mode(tmp_path / "a")


def test_an_existing_directory_keeps_its_mode(tmp_path: Path) -> None:
    """Its owner's choice is not changed."""
    tmp_path.chmod(0o750)

    prepare_state_dir(tmp_path)

    assert mode(tmp_path) == 0o750


def test_others_must_not_be_able_to_write_to_it(tmp_path: Path) -> None:
    """A directory in which others can replace files is refused, with the command that repairs it."""
    tmp_path.chmod(0o777)

    with pytest.raises(StateDirectoryError, match="chmod go-w"):
        prepare_state_dir(tmp_path)


def test_it_must_be_a_directory(tmp_path: Path) -> None:
    """A file in its place is named."""
    (tmp_path / "file").write_text("")

    with pytest.raises(StateDirectoryError, match="is not a directory"):
        prepare_state_dir(tmp_path / "file")
    with pytest.raises(StateDirectoryError, match="cannot be made"):
        prepare_state_dir(tmp_path / "file" / "below")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_it_must_be_the_caller_s_own(tmp_path: Path) -> None:
    """Another account's directory is refused."""
    os.chown(tmp_path, 65534, 65534)

    with pytest.raises(StateDirectoryError, match="belongs to user 65534"):
        prepare_state_dir(tmp_path)


def test_one_daemon_at_a_time(tmp_path: Path) -> None:
    """The second one's error names the process that has it; after the first is gone, by whatever end, it may."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_held(tmp_path)
        assert Running(pid=1, url="http://127.0.0.1:1", socket="run/api.sock") == find_running(tmp_path)
        with (
            pytest.raises(StateDirectoryBusyError, match=f"process {holder.pid} already runs"),
            hold_state_dir(tmp_path),
        ):
            pass
        holder.kill()
        holder.wait()

    assert not is_held(tmp_path)
    assert find_running(tmp_path) is None
    with hold_state_dir(tmp_path):
        assert is_held(tmp_path)
        assert find_running(tmp_path) is None


def test_the_announcement_is_for_its_owner_and_withdrawn(tmp_path: Path) -> None:
    """Others cannot read where the daemon is, and nothing is left after an orderly end."""
    with hold_state_dir(tmp_path):
        announce(tmp_path, Running(pid=7, url="http://127.0.0.1:7", socket="run/api.sock"))
        assert Running(pid=7, url="http://127.0.0.1:7", socket="run/api.sock") == find_running(tmp_path)
        assert mode(tmp_path / "daemon.json") == 0o600

    assert [path.name for path in tmp_path.iterdir()] == ["daemon.lock"]


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    """A state directory with a socket in it as a daemon makes it."""
    (tmp_path / "run").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "run" / "api.sock"))
        yield tmp_path


RUNNING = Running(pid=1, url="http://127.0.0.1:1", socket="run/api.sock")


def test_the_socket_of_the_daemon(listening: Path) -> None:
    """By its place in the state directory, or by an absolute path where that would be too long."""
    absolute = msgspec.structs.replace(RUNNING, socket=str(listening / "run" / "api.sock"))

    assert private_socket(listening, RUNNING) == listening / "run" / "api.sock"
    assert private_socket(listening, absolute) == listening / "run" / "api.sock"


def test_a_socket_that_another_user_may_have_made_is_not_taken(listening: Path) -> None:
    """In a directory that others may write to, behind a link, no socket at all, or of another owner."""
    directory, file = listening / "run", listening / "run" / "api.sock"
    directory.chmod(0o777)
    assert private_socket(listening, RUNNING) is None
    directory.chmod(0o700)
    if os.geteuid() == 0:
        for path in (file, directory):
            os.chown(path, 65534, -1)
            assert private_socket(listening, RUNNING) is None
            os.chown(path, 0, -1)
    assert private_socket(listening, RUNNING) == file

    directory.rename(listening / "elsewhere")
    directory.symlink_to(listening / "elsewhere")
    assert private_socket(listening, RUNNING) is None
    directory.unlink()
    directory.mkdir()
    file.write_text("")
    assert private_socket(listening, RUNNING) is None
    assert private_socket(listening, msgspec.structs.replace(RUNNING, socket="")) is None
