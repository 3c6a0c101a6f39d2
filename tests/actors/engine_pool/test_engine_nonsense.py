"""N3: an engine process that sends nonsense is killed, and costs little memory until then."""

from __future__ import annotations

import os
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from prometheus_client import CollectorRegistry

from actors.daemon.metrics import Metrics
from actors.engine_pool.actor import EngineActor, EngineCommand, GetEngineReport
from actors.versions.state import VersionState
from config.sections import EngineSettings
from supervisor import Backoff, ChildSpec, DynamicSupervisorSpec, Intensity, SupervisorSpec, System, open_system
from supervisor.errors import SupervisorError
from tests.actors.fake_engine import LINE_BYTES
from tests.support.processes import descendants
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
MOST_BYTES = 4 * 1024**2


@pytest.fixture(autouse=True)
def memory() -> Iterator[Callable[[], int]]:
    """The most memory that Python had allocated at a time since the beginning of the test. (Resident memory would not show it: the
    allocator keeps what an earlier test has freed.)"""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    yield lambda: tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeCommand(EngineCommand):
    """Starts `fake_engine.py`."""

    kind: str

    def build(self, socket: Path, version: str) -> list[str]:
        return [sys.executable, "-m", "tests.actors.fake_engine", self.kind, str(socket)]


@asynccontextmanager
async def supervised(tmp_path: Path, kind: str) -> AsyncIterator[tuple[System, ChildSpec]]:
    """A supervisor of engines, and the spec of one of this kind."""
    (tmp_path / "run").mkdir(mode=0o700)
    command = FakeCommand(
        runtime_dir=tmp_path / "run",
        device_dir=tmp_path / "devices",
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
        max_companies=5,
        versions=VersionState("library", time.time),
        kind=kind,
    )
    settings = EngineSettings(statistics_interval_s=0.1, start_timeout_s=30.0, max_log_line_bytes=4096)
    spec = ChildSpec(
        id="engine-0",
        start=lambda _: EngineActor(command, settings, Metrics(CollectorRegistry())),
        backoff=Backoff(minimum=0.01, maximum=0.1),
    )
    never = Intensity(max_restarts=0, within=60.0)
    engines = ChildSpec(id="engines", start=DynamicSupervisorSpec(intensity=never, intensity_per_child=True))
    with trio.fail_after(60):
        async with open_system(SupervisorSpec([engines], intensity=never)) as system:
            yield system, spec


@pytest.mark.parametrize("kind", ["garbage", "endless-head", "no-message", "wrong-message", "endless-frame"])
async def test_n3_an_engine_that_talks_nonsense_is_killed(tmp_path: Path, memory: Callable[[], int], kind: str) -> None:
    """In its handshake, in its first message, in a frame that never ends: its process is ended, at most 4 MB were used for it."""
    before = descendants(os.getpid())
    async with supervised(tmp_path, kind) as (system, spec):
        with suppress(SupervisorError):  # most end before they count as started
            await system.supervisor("/engines").start_child(spec)

        await wait_until(lambda: descendants(os.getpid()) == before, seconds=30.0)
    assert memory() <= MOST_BYTES
    print(f"N3: {kind}: killed, at most {memory() / 1024**2:.1f} MB")


async def test_n3_an_endless_line_is_cut(tmp_path: Path, memory: Callable[[], int]) -> None:
    """100 MB on standard error without a line's end: at most 4 MB of memory, and the engine goes on."""
    async with supervised(tmp_path, "endless-line") as (system, spec):
        ref = await system.supervisor("/engines").start_child(spec)
        report = await ref.ask(GetEngineReport(), timeout=30.0)

        assert report.threads == 1
    assert memory() <= MOST_BYTES
    print(f"N3: a line of {LINE_BYTES // 1024**2} MB: at most {memory() / 1024**2:.1f} MB")
