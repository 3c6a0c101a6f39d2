"""Takes a Baileys directory out of use. Two owners of one device fork its Signal ratchets, and both lose messages.

The directory is renamed, and a file takes its name: Baileys refuses to start on a file, whereas without a directory it
would make a new identity. The file says where the directory went, so that an interrupted import can be finished.
"""

from __future__ import annotations

import fcntl
import io
import os
import tarfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, final

import msgspec

from config.json_text import read_json
from storage.baileys.directory import BaileysError, Directory, digest_of
from storage.directories import flush_directory

_MAX_TOMBSTONE_BYTES: Final = 65_536
_MOVED: Final = ".migrated-"
_BACKUP: Final = ".backup-"


@final
class Tombstone(msgspec.Struct, frozen=True, rename="camel"):
    """The content of the file in the directory's place."""

    company_id: str
    digest: str
    moved_to: str
    """The directory's name now, beside this file."""
    backup: str
    sealed_at: str
    is_done: bool = False
    """The company's state is stored."""
    note: str = (
        "This Baileys directory has moved into wasup. Do not put it back in use: two owners of one WhatsApp device "
        "lose each other's messages. `wasup import-baileys` with this path finishes an import that was interrupted."
    )


@contextmanager
def hold_directory(path: Path) -> Generator[None]:
    """Keep other imports off this directory until the block or the process ends. `BaileysError` when one is running."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise BaileysError(f"{path} cannot be read: {error.strerror}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BaileysError(f"another import of {path} is under way; wait for its end") from None
        yield
    finally:
        os.close(descriptor)


def back_up(source: Directory, stamp: str) -> Path:
    """Write a tar archive of what was read beside the directory, durably, and verify it. On `BaileysError` no archive remains."""
    target = source.path.with_name(f"{source.path.name}{_BACKUP}{stamp}.tar")
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:  # an older backup of this name stays
        raise BaileysError(f"no backup could be written to {target}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write_archive(file, source)
            file.flush()
            os.fsync(file.fileno())
        is_whole = _digest_of_archive(target) == source.digest
    except OSError as error:
        target.unlink(missing_ok=True)
        raise BaileysError(f"no backup could be written to {target}: {error.strerror}") from None
    if not is_whole:
        target.unlink(missing_ok=True)
        raise BaileysError(f"the backup {target} does not read back as it was written; is the disk sound?")
    return target


def _write_archive(file: io.BufferedWriter, source: Directory) -> None:
    with tarfile.open(fileobj=file, mode="w") as archive:
        for one in source.files:
            entry = tarfile.TarInfo(f"{source.path.name}/{one.name}")
            entry.size, entry.mtime, entry.mode = len(one.data), one.written_at, 0o600
            archive.addfile(entry, io.BytesIO(one.data))


def _digest_of_archive(path: Path) -> str:
    files: list[tuple[str, bytes]] = []
    with tarfile.open(path) as archive:
        for entry in archive:
            content = archive.extractfile(entry)
            assert content is not None, "only files were put in"
            files.append((entry.name.partition("/")[2], content.read()))
    return digest_of(files)


def seal(path: Path, tombstone: Tombstone) -> Path:
    """Rename the directory, write the tombstone in its place, and return the new path. On `BaileysError` nothing has changed."""
    moved = path.with_name(tombstone.moved_to)
    if moved.exists():
        raise BaileysError(f"{moved} is there already; move it away")
    try:
        path.rename(moved)
    except OSError as error:
        text = (
            f"{path} cannot be renamed ({error.strerror}); is it a mount point? Copy it elsewhere and import the copy"
        )
        raise BaileysError(text) from None
    try:
        _write_tombstone(path, tombstone)
    except OSError as error:
        moved.rename(path)
        raise BaileysError(f"{path} cannot be sealed: {error.strerror}") from None
    return moved


def moved_name(path: Path, stamp: str) -> str:
    """Return the name that a directory gets when it is sealed."""
    return f"{path.name}{_MOVED}{stamp}"


def unseal(path: Path, moved: Path) -> None:
    """Undo `seal`."""
    path.unlink(missing_ok=True)
    moved.rename(path)
    flush_directory(path.parent)


def mark_done(path: Path, tombstone: Tombstone) -> None:
    """Note in the tombstone that the company's state is stored."""
    _write_tombstone(path, msgspec.structs.replace(tombstone, is_done=True))


def find_tombstone(path: Path) -> Tombstone | None:
    """Return the tombstone in the directory's place, None when there is none. `BaileysError` for any other file."""
    if path.is_dir() or not path.exists():
        return None
    try:
        with path.open("rb") as file:
            return read_json(file.read(_MAX_TOMBSTONE_BYTES), Tombstone)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError):
        raise BaileysError(f"{path} is not a directory; name the one that Baileys keeps creds.json in") from None


def find_moved(path: Path) -> Path | None:
    """Return the directory's new path when an import ended between the renaming and the tombstone; None when none did."""
    if path.exists():
        return None
    found = sorted(path.parent.glob(f"{_glob_escaped(path.name)}{_MOVED}*"))
    return found[0] if len(found) == 1 and found[0].is_dir() else None


def _glob_escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _write_tombstone(path: Path, tombstone: Tombstone) -> None:
    fresh = path.with_name(f"{path.name}.tombstone")
    fresh.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(tombstone)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    flush_directory(path.parent)
