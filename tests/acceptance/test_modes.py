"""Who may read what wasup makes: only its owner."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.site import Plan, Site, User

COMPANY = User(1)
PLAN = Plan(companies=(COMPANY,))
PASSED_THROUGH = frozenset({".", "postgres"})
"""Started by root, the embedded server runs as another account, which has to reach its data: it may enter, and list nothing."""


def made(directory: Path) -> Iterator[tuple[str, int]]:
    """The directory and everything below it, with modes; PostgreSQL's programs are copies of what everyone can install."""
    for path in (directory, *directory.rglob("*")):
        name = str(path.relative_to(directory))
        if not path.is_symlink() and not name.startswith("postgres/programs"):
            yield name, stat.S_IMODE(path.lstat().st_mode)


async def test_nothing_in_the_state_directory_is_for_others(site: Site, api: Api) -> None:
    """Directories, files, sockets, and what SQLite and PostgreSQL make, even under a umask that would open them to all."""
    os.umask(previous := os.umask(0o022))
    if previous & 0o044:
        pytest.skip("the umask of this test run keeps everything from others by itself")
    await api.wait_connected(COMPANY.company)
    modes = dict(made(site.daemon.state_dir))
    passed = {name: mode for name, mode in modes.items() if name in PASSED_THROUGH}

    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077 and name not in PASSED_THROUGH} == {}
    assert {oct(mode & 0o066) for mode in passed.values()} == {"0o0"}
    device = f"devices/{COMPANY.company}.db"
    assert {device, f"{device}-wal", f"{device}-shm", "admin.key", "run"} <= set(modes)
