"""The state directory: created safely, and held by one daemon at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import final

import msgspec

from config.errors import StateDirectoryBusyError, StateDirectoryError
from config.json_text import read_json

_LOCK_FILE = "daemon.lock"
_RUNNING_FILE = "daemon.json"
_LOCK_TRIES = 4
_LOCK_RETRY_S = 0.05
_OWNER_MODE = 0o700
_ROOT_MODE = 0o711
"""As root, the embedded Postgres runs as another user, who must reach its own directory below this one."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@final
class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A running daemon's description of itself, in ``daemon.json``."""

    pid: int
    url: str
    """The URL of its HTTP, with the port in use: ``http://127.0.0.1:3003``."""
    socket: str
    """The Unix socket of its HTTP for its own user: absolute, or relative to the state directory."""


def prepare_state_dir(path: Path) -> None:
    """Create the directory for this user alone (others may pass through root's, never list it).

    Raises StateDirectoryError when it cannot be made, is no directory, is another user's or others may write to it. An
    existing directory keeps its mode.
    """
    is_root = os.geteuid() == 0
    mode = _ROOT_MODE if is_root else _OWNER_MODE
    try:
        # With root's umask at 077, newly made parents would shut the embedded server's user out.
        _make_parents(path.parent, 0o755 if is_root else _OWNER_MODE)
        if not path.exists():
            path.mkdir(mode=_OWNER_MODE)
            path.chmod(mode)
        status = path.stat()
    except OSError as error:
        reason = error.strerror or "unknown reason"
        text = (
            f"the state directory {path} cannot be made ({reason}); set WASUP_STATE_DIR to a directory you may write to"
        )
        raise StateDirectoryError(text) from None
    _check(path, status)


def _make_parents(path: Path, mode: int) -> None:
    if path.exists():
        return
    _make_parents(path.parent, mode)
    path.mkdir()
    path.chmod(mode)


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISDIR(status.st_mode):
        raise StateDirectoryError(f"{path} is not a directory; set WASUP_STATE_DIR to a directory")
    if status.st_uid != os.geteuid():
        raise StateDirectoryError(
            f"the state directory {path} belongs to user {status.st_uid}, not to {os.geteuid()} who runs this; "
            "run as its owner, or set WASUP_STATE_DIR to another directory"
        )
    if status.st_mode & _OTHERS_WRITE:
        raise StateDirectoryError(f"other users may write to the state directory {path}; run: chmod go-w {path}")


@contextmanager
def hold_state_dir(path: Path) -> Generator[None]:
    """Prepare the directory and own it until the block ends or the process dies, in whatever way.

    Raises StateDirectoryBusyError when another process owns it, StateDirectoryError when it cannot be used.
    """
    prepare_state_dir(path)
    # Not inherited by children (PEP 446), so that a leftover child cannot keep the directory from the next daemon.
    descriptor = os.open(path / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, path)
        withdraw(path)
        with suppress(OSError):  # a full disk: the pid is only information for others, the lock is what excludes them
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        try:
            yield
        finally:
            withdraw(path)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path, tries: int = _LOCK_TRIES) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
            raise StateDirectoryError(f"{path / _LOCK_FILE} cannot be locked ({error.strerror})") from None
        if tries > 1:
            # `is_held` in another command holds the lock for a moment.
            time.sleep(_LOCK_RETRY_S)
            _lock(descriptor, path, tries - 1)
            return
        text = os.pread(descriptor, 32, 0).decode(errors="replace")
        raise StateDirectoryBusyError(str(path), int(text) if text.isdigit() else None) from None


def is_held(path: Path) -> bool:
    """Return whether a daemon runs on this state directory now."""
    try:
        descriptor = os.open(path / _LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def private_socket(path: Path, running: Running) -> Path | None:
    """Return the socket of the daemon on this state directory; None when another user could have put it there.

    A port does not show which user listens on it. A file in a directory that only the daemon's user may write to was
    made by that user, who can read the state directory anyway.
    """
    socket = path / running.socket
    try:
        owner = path.stat().st_uid
        directory, file = socket.parent.lstat(), socket.lstat()
    except OSError:
        return None
    is_private = stat.S_ISDIR(directory.st_mode) and not directory.st_mode & _OTHERS_WRITE
    is_ours = directory.st_uid == owner and file.st_uid == owner and stat.S_ISSOCK(file.st_mode)
    return socket if is_private and is_ours else None


def announce(path: Path, running: Running) -> None:
    """Let the command line find this daemon. Call it once HTTP accepts connections."""
    temporary = path / f".{_RUNNING_FILE}"
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.encode(running))
    temporary.replace(path / _RUNNING_FILE)


def withdraw(path: Path) -> None:
    """Remove the announcement, if there is one."""
    with suppress(OSError):
        (path / _RUNNING_FILE).unlink()


def find_running(path: Path) -> Running | None:
    """Return the daemon that runs on this state directory; None when there is none or it is not ready yet."""
    if not is_held(path):
        return None
    try:
        return read_json((path / _RUNNING_FILE).read_bytes(), Running)
    except (OSError, msgspec.DecodeError):
        return None
