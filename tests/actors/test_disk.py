"""The disk actor and what it checks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from prometheus_client import CollectorRegistry

from actors.daemon.metrics import Metrics
from actors.disk.actor import DiskActor
from actors.disk.state import DiskState
from actors.disk.watch import Watch
from actors.messages import DiskFailed
from config.disk import NO_INODES, REASONS, Room
from config.reserve import NAME, Reserve
from supervisor import ChildSpec, SupervisorSpec, open_system
from tests.actors.fakes import RecordingActor
from tests.support.small_disk import MIB, fill, mounted_disk, needs_mount, remount, take_inodes
from tests.support.waiting import wait_until

NO_SPACE = REASONS[28]


@pytest.fixture
def small_disk() -> Generator[Path]:
    """One of 8 MiB and a hundred files."""
    with mounted_disk(8, inodes=100) as directory:
        (directory / "devices").mkdir()
        yield directory


def watch(directory: Path) -> Watch:
    """As in the daemon: the reserve is beside the device files."""
    devices = directory / "devices"
    places = {"state": directory, "devices": devices, "postgres": directory / "postgres"}
    return Watch(places, Reserve(devices, MIB // 2))


@pytest.mark.parametrize("must_write", [False, True])
def test_a_disk_with_room_has_no_fault(tmp_path: Path, *, must_write: bool) -> None:
    """One name for each file system, and the reserve is made."""
    (tmp_path / "devices").mkdir()

    found = watch(tmp_path).look(must_write=must_write)

    assert found.fault is None
    assert list(found.rooms) == ["state"]
    assert (tmp_path / "devices" / NAME).stat().st_size == MIB // 2


@needs_mount[0]
@needs_mount[1]
class TestSmallDisk:
    """On a real one."""

    def test_no_space(self, small_disk: Path) -> None:
        """The reserve is released, and made again when there is room beyond it."""
        looking = watch(small_disk)
        looking.look(must_write=False)
        fill(small_disk / "ballast")

        full = looking.look(must_write=False)
        still = looking.look(must_write=True)
        has_reserve = (small_disk / "devices" / NAME).exists()
        (small_disk / "ballast").unlink()

        assert (full.fault, still.fault, has_reserve) == (NO_SPACE, NO_SPACE, False)
        assert looking.look(must_write=True).fault is None
        assert (small_disk / "devices" / NAME).exists()

    def test_a_reserve_that_an_engine_released_is_a_fault(self, small_disk: Path) -> None:
        """Also where the released space is free now."""
        looking = watch(small_disk)
        looking.look(must_write=False)
        fill(small_disk / "ballast")
        Reserve(small_disk / "devices").release()

        assert looking.look(must_write=False).fault == NO_SPACE

    def test_no_inodes(self, small_disk: Path) -> None:
        """Free bytes alone are not room."""
        looking = watch(small_disk)
        looking.look(must_write=False)
        take_inodes(small_disk / "many")

        assert looking.look(must_write=False).fault == NO_INODES
        assert looking.look(must_write=True).fault == NO_INODES

    def test_read_only(self, small_disk: Path) -> None:
        """Until it is remounted."""
        looking = watch(small_disk)
        looking.look(must_write=False)
        remount(small_disk, "ro")
        fault = looking.look(must_write=False).fault
        remount(small_disk, "rw")

        assert fault == REASONS[30]
        assert looking.look(must_write=True).fault is None

    def test_device_files_on_a_disk_of_their_own(self, small_disk: Path, tmp_path: Path) -> None:
        """Both are looked at."""
        looking = Watch({"state": tmp_path, "devices": small_disk}, Reserve(small_disk, MIB // 2))
        fill(small_disk / "ballast")

        found = looking.look(must_write=False)

        assert list(found.rooms) == ["state", "devices"]
        assert found.fault == NO_SPACE


class FakeWatch:
    """Finds what the test sets."""

    def __init__(self) -> None:
        self.fault: str | None = None
        self.wrote: list[bool] = []

    def look(self, *, must_write: bool) -> Any:
        self.wrote.append(must_write)
        return _Found(self.fault)


class _Found:
    def __init__(self, fault: str | None) -> None:
        self.fault = fault
        self.rooms = {"state": Room(5, 10, None, is_read_only=False)}


@asynccontextmanager
async def disk(state: DiskState, found: FakeWatch) -> AsyncIterator[tuple[list[Any], Metrics]]:
    """The actor beside a directory that keeps the messages it gets."""
    told: list[Any] = []
    metrics = Metrics(CollectorRegistry())
    spec = SupervisorSpec(
        [
            ChildSpec(id="directory", start=lambda _: RecordingActor(told)),
            ChildSpec(
                id="disk",
                start=lambda context: DiskActor(state, found, context.ref_to("/directory"), metrics),  # type: ignore[arg-type]
            ),
        ]
    )
    async with open_system(spec):
        yield told, metrics


async def test_a_fault_is_told_once_and_ends_by_itself() -> None:
    """Companies hear of it through the directory; metrics show it while it lasts."""
    state, found = DiskState(), FakeWatch()
    async with disk(state, found) as (told, metrics):
        await wait_until(lambda: bool(found.wrote))
        found.fault = NO_SPACE
        state.doubt()
        await wait_until(lambda: bool(told))
        during = metrics.exposition().decode()
        found.fault = None
        state.doubt()
        await wait_until(lambda: state.fault is None)

        assert told == [DiskFailed(NO_SPACE)]
        assert "wasup_disk_writable 0.0" in during
        assert 'wasup_disk_free_bytes{directory="state"} 5.0' in during
        assert "wasup_disk_writable 1.0" in metrics.exposition().decode()
        assert "wasup_disk_faults_total 1.0" in metrics.exposition().decode()


async def test_who_doubts_is_looked_for_at_once_by_writing() -> None:
    """A failed write says more than the free space does."""
    state, found = DiskState(), FakeWatch()
    async with disk(state, found):
        await wait_until(lambda: found.wrote == [False])
        with trio.fail_after(0.8):
            state.doubt()
            await wait_until(lambda: len(found.wrote) > 1)

        assert found.wrote[1] is True


@pytest.mark.parametrize(
    ("fault", "free", "reason"), [(None, 100, None), (None, 99, "little space"), ("it is full", 100, "it is full")]
)
def test_files_stop_before_messages(fault: str | None, free: int, reason: str | None) -> None:
    """An upload cannot take the room that messages need."""
    state = DiskState(fault=fault, rooms={"state": Room(free, 1000, None, is_read_only=False)}, reserve_bytes=100)

    assert (state.why_no_files or "").startswith(reason or "")
    assert (state.why_no_files is None) == (reason is None)
