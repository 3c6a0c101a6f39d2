"""Measures a company's size on disk: in Postgres with its indexes, and its device file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, LiteralString

import msgspec
import trio

from benchmarks.storage.sample import Sample
from benchmarks.storage.site import Site
from storage.database.pool import Database

COMPANIES: Final = 20
"""The number of equal companies stored, so that a half-filled page does not count for one company."""
BLOCK_BYTES: Final = 512
"""The unit in which `stat` counts the size of a file on disk."""
BUILD_WITHIN_S: Final = 120.0
ROOT: Final = Path(__file__).parents[2]
_TABLES: LiteralString = """
    SELECT sum(pg_table_size(name::regclass))::bigint AS tables, sum(pg_indexes_size(name::regclass))::bigint AS indexes
    FROM unnest(ARRAY['whatsapp_keys', 'whatsapp_auth', 'whatsapp_journal', 'whatsapp_leases', 'whatsapp_data_keys']) AS name
"""


@dataclass(frozen=True, slots=True)
class Size:
    """The size of one company, in bytes."""

    keys: int
    way: str
    values: int
    """Its keys and credentials as JSON."""
    tables: int
    indexes: int
    device_file: int
    files: int
    """The same keys as files of Baileys, in whole blocks of the filesystem."""


async def measure(site: Site, samples: Sequence[Sample]) -> list[Size]:
    """Measure each sample, plain and sealed."""
    found: list[Size] = []
    for sample in samples:
        (directory := site.directory / f"device-{len(sample.changes)}").mkdir()
        await trio.to_thread.run_sync(_build_device_file, directory, sample)
        found += [await _measure(site, sample, way, _on_disk(directory)) for way in site.vaults]
    return found


async def _measure(site: Site, sample: Sample, way: str, device_file: int) -> Size:
    async with site.store(way) as store:
        before = await _tables(store.database)
        for number in range(COMPANIES):
            await sample.store(store.database, f"size-{number}")
        after = await _tables(store.database)
    tables, indexes = ((after[at] - before[at]) // COMPANIES for at in range(2))
    values = len(sample.creds) + sum(len(change.value or b"") for change in sample.changes)
    return Size(len(sample.changes), way, values, tables, indexes, device_file, _on_disk(sample.directory))


async def _tables(database: Database) -> tuple[int, int]:
    row = await database.fetchrow(_TABLES)
    assert row is not None
    return row["tables"], row["indexes"]


def _build_device_file(directory: Path, sample: Sample) -> None:
    keys = [(change.key_type, change.key_id, change.value) for change in sample.changes]
    command = [sys.executable, "-m", "benchmarks.storage.device_file", str(directory)]
    subprocess.run(
        command, input=msgspec.json.encode((sample.creds, keys)), check=True, timeout=BUILD_WITHIN_S, cwd=ROOT
    )


def _on_disk(directory: Path) -> int:
    return sum(path.stat().st_blocks * BLOCK_BYTES for path in directory.iterdir())
