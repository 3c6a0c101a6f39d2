"""Room on a file system, what its errors mean, and the reserve."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from config import disk as module
from config.disk import NO_INODES, probe, room_of, write_fault
from config.reserve import LEAST_BEYOND, NAME, SHARE, Reserve
from tests.support.small_disk import MIB, fill, mounted_disk, needs_mount, remount, take_inodes

on_a_small_disk = [*needs_mount]


@pytest.fixture
def small_disk() -> Generator[Path]:
    """One of 8 MiB and a hundred files."""
    with mounted_disk(8, inodes=100) as directory:
        yield directory


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "space"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only"), (errno.EIO, "device")],
)
def test_errors_of_a_file_system_are_told_in_words(number: int, says: str) -> None:
    """Each error in its own words."""
    assert says in (write_fault(OSError(number, os.strerror(number))) or "")


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "x"), OSError("without a number"), ValueError()])
def test_other_errors_are_not_its(error: Exception) -> None:
    """A missing file has nothing to do with room."""
    assert write_fault(error) is None


def test_a_disk_with_room_takes_the_probe(tmp_path: Path) -> None:
    """And the probe leaves no file."""
    assert probe(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_probe_of_a_place_that_is_not_there_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    """The error is raised as it is."""
    with pytest.raises(FileNotFoundError):
        probe(tmp_path / "missing")


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EIO])
def test_a_probe_meets_what_free_space_does_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A quota and a failing device report when the file is synced, and no file is left."""

    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)

    assert probe(tmp_path) == module.REASONS[number]
    assert list(tmp_path.iterdir()) == []


class TestSmallDisk:
    """On a real disk."""

    pytestmark = on_a_small_disk

    def test_no_space(self, small_disk: Path) -> None:
        """Room is 0, and the probe says why."""
        fill(small_disk / "ballast")

        assert room_of(small_disk).free_bytes == 0
        assert probe(small_disk) == module.REASONS[errno.ENOSPC]

    def test_no_inodes(self, small_disk: Path) -> None:
        """The kernel has the same error number for it; the words differ."""
        take_inodes(small_disk / "many")

        assert room_of(small_disk).free_inodes == 0
        assert room_of(small_disk).free_bytes > 0
        assert probe(small_disk) == NO_INODES

    def test_read_only(self, small_disk: Path) -> None:
        """As after an error of the file system."""
        remount(small_disk, "ro")

        assert room_of(small_disk).is_read_only
        assert probe(small_disk) == module.REASONS[errno.EROFS]
        remount(small_disk, "rw")

    def test_the_reserve_is_a_part_of_it(self, small_disk: Path) -> None:
        """However large it is to be."""
        reserve = Reserve(small_disk, 64 * MIB)

        assert reserve.restore() is None
        assert (small_disk / NAME).stat().st_size == 8 * MIB // SHARE
        assert [path.name for path in small_disk.iterdir()] == [NAME]

    def test_a_reserve_without_room_is_not_made(self, small_disk: Path) -> None:
        """The reason is returned, and nothing is left of the attempt."""
        fill(small_disk / "ballast")

        assert Reserve(small_disk, MIB).restore() == module.REASONS[errno.ENOSPC]
        assert [path.name for path in small_disk.iterdir()] == ["ballast"]

    def test_what_was_released_alone_is_no_room(self, small_disk: Path) -> None:
        """Otherwise the reserve would be taken back from those who have to finish, again and again."""
        reserve = Reserve(small_disk, MIB)
        reserve.restore()
        fill(small_disk / "ballast")
        assert reserve.release()

        assert reserve.restore() is not None
        assert room_of(small_disk).free_bytes >= 8 * MIB // SHARE
        os.truncate(small_disk / "ballast", (small_disk / "ballast").stat().st_size - LEAST_BEYOND)
        assert reserve.restore() is None


def test_a_reserve_is_released_once(tmp_path: Path) -> None:
    """A second caller finds none."""
    reserve = Reserve(tmp_path, MIB)
    reserve.restore()

    assert [reserve.is_there(), reserve.release(), reserve.is_there(), reserve.release()] == [True, True, False, False]


def test_a_reserve_of_no_size_is_always_there(tmp_path: Path) -> None:
    """No reserve was asked for."""
    assert Reserve(tmp_path, 0).is_there()
