"""Writes a directory for Baileys: complete, durable and verified before anything else depends on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from storage.baileys.directory import BaileysError, Progress, digest_of, read_directory
from storage.directories import flush_directory

_STAGING = ".exporting"


def staging_of(target: Path) -> Path:
    """Return the directory to write first, so that Baileys never finds an incomplete one, or one that was not handed over."""
    return target.with_name(target.name + _STAGING)


def require_free(target: Path) -> None:
    """Raise `BaileysError` unless the target is absent or an empty directory, and a directory can be made beside it."""
    if not target.parent.is_dir():
        raise BaileysError(f"{target.parent} is no directory; make it first")
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        raise BaileysError(f"{target} is there already; name a directory that is not, or an empty one")


def write_directory(staging: Path, files: Mapping[str, bytes], progress: Progress) -> None:
    """Write the files into a new directory for this user alone, and verify them. On `BaileysError` no directory remains."""
    try:
        staging.mkdir(mode=0o700)
    except OSError as error:  # an existing directory is not ours
        raise BaileysError(f"{staging} cannot be made: {error.strerror}") from None
    try:
        for number, (name, data) in enumerate(sorted(files.items()), 1):
            with os.fdopen(os.open(staging / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            progress(number, len(files))
        flush_directory(staging)
        is_whole = read_directory(staging).digest == digest_of(files.items())
    except OSError as error:
        remove(staging)
        raise BaileysError(f"{staging} cannot be written: {error.strerror}") from None
    if not is_whole:
        remove(staging)
        raise BaileysError(f"{staging} does not read back as it was written; is the disk sound?")


def publish(staging: Path, target: Path) -> None:
    """Rename the directory to its final name, in one step."""
    try:
        staging.rename(target)
        flush_directory(target.parent)
    except OSError as error:
        text = f"{staging} is complete but cannot be renamed to {target} ({error.strerror}): rename it by hand, and only then use it"
        raise BaileysError(text) from None


def remove(staging: Path) -> None:
    """Remove a directory that was not handed over."""
    shutil.rmtree(staging, ignore_errors=True)
