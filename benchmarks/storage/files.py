"""Keys as files, from Python: read one after the other, and written so that a crash leaves the old file or the new one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import trio

from benchmarks.storage.sample import Sample, decode_file
from storage.directories import flush_directory


def read_blocking(sample: Sample) -> list[object]:
    """Read every file of the sample, without a checkpoint in between."""
    return [decode_file(path.read_bytes()) for path in sample.files]


async def read_one_by_one(sample: Sample) -> list[object]:
    """Read every file of the sample, each in a worker thread, as a program with an event loop has to."""
    return [decode_file(await trio.Path(path).read_bytes()) for path in sample.files]


def write_safely(directory: Path, files: Mapping[str, bytes], *, sync_each: bool) -> None:
    """Write each under another name, flush it, rename it, and flush the directory: after each file, or once after all of them."""
    for name, data in files.items():
        new = directory / (name + ".new")
        with new.open("wb", buffering=0) as file:
            file.write(data)
            os.fsync(file.fileno())
        new.rename(directory / name)
        if sync_each:
            flush_directory(directory)
    if not sync_each:
        flush_directory(directory)
