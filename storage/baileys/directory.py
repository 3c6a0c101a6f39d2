"""Reads a directory of ``useMultiFileAuthState`` whole, and identifies it by its digest."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from storage.baileys.names import CREDS_FILE

MAX_FILES: Final = 200_000
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
MAX_BYTES: Final = 128 * 1024 * 1024
"""The most that an engine process accepts for one company."""

Progress = Callable[[int, int], None]
"""Called with the number done and the total."""


@final
class BaileysError(Exception):
    """A directory cannot be used; the text says which, why, and what would be right."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file, as read."""

    name: str
    data: bytes
    written_at: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Source:
    """A Baileys auth state as read, from any store, in the form of the files that Baileys' own store would have."""

    creds_at: str
    """Where its credentials are, for messages to people."""
    files: tuple[SourceFile, ...]
    """By name."""
    unreadable: tuple[tuple[str, str], ...]
    """Names of entries that cannot be read as files, each with the reason."""
    digest: str
    """Digest of names and contents."""
    expired: tuple[str, ...] = ()
    """Names of entries that had expired in their own store."""

    @property
    def written_at(self) -> float:
        """The time when the newest file was written."""
        return max((file.written_at for file in self.files), default=0.0)

    def find(self, name: str) -> SourceFile | None:
        """The file of this name."""
        return next((file for file in self.files if file.name == name), None)


@dataclass(frozen=True, slots=True)
class Directory(Source):
    """A directory, as read."""

    path: Path = Path()


def read_directory(path: Path, progress: Progress = lambda _done, _of: None) -> Directory:
    """Read every file of the directory; `BaileysError` when it is no directory, or larger than any auth state."""
    names = _names(path)
    files: list[SourceFile] = []
    unreadable: list[tuple[str, str]] = []
    size = 0
    for number, name in enumerate(names, 1):
        try:
            files.append(_read(path / name))
        except OSError as error:
            unreadable.append((name, error.strerror or "it cannot be read"))
        else:
            size += len(files[-1].data)
        if size > MAX_BYTES:
            raise BaileysError(f"{path} holds more than {MAX_BYTES // 1024**2} MiB: that is no company's auth state")
        progress(number, len(names))
    digest = digest_of((file.name, file.data) for file in files)
    return Directory(str(path / CREDS_FILE), tuple(files), tuple(unreadable), digest, path=path)


def digest_of(files: Iterable[tuple[str, bytes]]) -> str:
    """Return one digest for names and contents, independent of their order."""
    whole = hashlib.sha256()
    for name, data in sorted(files):
        raw = os.fsencode(name)
        whole.update(len(raw).to_bytes(4, "big") + raw + hashlib.sha256(data).digest())
    return whole.hexdigest()


def listing(path: Path) -> frozenset[tuple[str, int, int]]:
    """Return name, size and time of every entry. Any write in between changes the result."""
    found: set[tuple[str, int, int]] = set()
    for name in _names(path):
        facts = (path / name).lstat()
        found.add((name, facts.st_size, facts.st_mtime_ns))
    return frozenset(found)


def _names(path: Path) -> list[str]:
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except NotADirectoryError:
        raise BaileysError(f"{path} is not a directory; name the one that Baileys keeps creds.json in") from None
    except OSError as error:
        raise BaileysError(f"{path} cannot be read: {error.strerror}") from None
    if len(names) > MAX_FILES:
        raise BaileysError(f"{path} holds more than {MAX_FILES} files: that is no company's auth state")
    return names


def _read(path: Path) -> SourceFile:
    # Skip links, which may lead anywhere, and pipes, which may block for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(0, "it is no file")
        if facts.st_size > MAX_FILE_BYTES:
            raise OSError(0, f"it is larger than {MAX_FILE_BYTES // 1024**2} MiB")
        return SourceFile(path.name, file.read(), facts.st_mtime)
