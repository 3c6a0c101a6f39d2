"""A file system of a test's own, in memory, that soon gets full, read-only or out of inodes. Only root can mount one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

MIB: Final = 1024 * 1024

needs_mount: Final = (
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
    pytest.mark.skipif(shutil.which("mount") is None, reason="mount is not installed"),
)


@contextmanager
def mounted_disk(size_mib: int, *, inodes: int = 0, at: Path | None = None) -> Generator[Path]:
    """Inside the block a tmpfs is mounted at ``at``, or in a new directory; ``inodes``: how many files it takes, 0 for no limit.

    Skips the test where mounting is not allowed.
    """
    directory = at or Path(tempfile.mkdtemp(prefix="wasup-tests-"))
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)
    options = f"size={size_mib}m,mode=0755" + (f",nr_inodes={inodes}" if inodes else "")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], check=False)
    try:
        if mounted.returncode != 0:
            pytest.skip("mounting is not allowed here")
        yield directory
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)
        directory.rmdir()


def remount(directory: Path, options: str) -> None:
    """Remount a mounted disk with other options, as ``ro`` or ``size=32m``."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(directory)], check=True)


def fill(ballast: Path) -> None:
    """Write until there is no room."""
    for size in (MIB, 4096):
        with suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(size))


def take_inodes(directory: Path) -> None:
    """Make empty files in ``directory`` until no more can be made."""
    directory.mkdir(exist_ok=True)
    with suppress(OSError):
        for number in range(1_000_000):
            (directory / str(number)).touch(exist_ok=False)
