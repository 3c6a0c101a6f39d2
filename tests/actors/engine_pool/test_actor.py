"""The engine actor and its process: a real one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from prometheus_client import CollectorRegistry

from actors.daemon.metrics import Metrics
from actors.engine_pool import actor as engines
from actors.engine_pool.actor import EngineActor, EngineCommand, GetEngineReport
from actors.messages import WaitReady
from actors.versions.state import VersionState
from config.fields import environment_for_children
from config.sections import EngineSettings
from supervisor import ActorRef, Backoff, ChildSpec, Intensity, LifecycleEvent, SupervisorSpec, System, open_system
from supervisor.errors import ActorCrashed

pytestmark = pytest.mark.slow


@asynccontextmanager
async def engine(
    directory: Path, events: list[LifecycleEvent], metrics: Metrics | None = None, **settings: Any
) -> AsyncIterator[System]:
    (directory / "run").mkdir(mode=0o700)
    command = EngineCommand(
        runtime_dir=directory / "run",
        device_dir=directory / "devices",
        environment=environment_for_children(os.environ),
        max_companies=5,
        versions=VersionState("library", time.time),
    )
    spec = SupervisorSpec(
        [
            ChildSpec(
                id="engine-0",
                start=lambda _: EngineActor(
                    command,
                    EngineSettings(**{"statistics_interval_s": 0.1, **settings}),
                    metrics or Metrics(CollectorRegistry()),
                ),
                backoff=Backoff(minimum=0.01, maximum=0.1),
            )
        ],
        intensity=Intensity(max_restarts=5, within=60.0),
    )
    with trio.fail_after(60):
        async with open_system(spec, on_event=events.append) as system:
            yield system


async def pid_of(ref: ActorRef, *, other_than: int = 0) -> int:
    """The process id, once the actor has the report of a process other than that."""
    while True:
        await ref.ask(WaitReady(), timeout=30)
        with suppress(ActorCrashed):  # the process that was asked has died
            report = await ref.ask(GetEngineReport())
            if report.pid != other_than:
                return report.pid
        await trio.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_killed_process_is_the_actors_crash_and_comes_back(tmp_path: Path) -> None:
    """SIGKILL: a new process, the restart says why."""
    events: list[LifecycleEvent] = []
    async with engine(tmp_path, events) as system:
        ref = system.ref("/engine-0")
        first = await pid_of(ref)
        os.kill(first, signal.SIGKILL)
        second = await pid_of(ref, other_than=first)

        crash = next(event for event in events if event.kind == "crashed")
        assert second != first
        assert "EngineDied" in str(crash.reason)
        assert "-9" in str(crash.reason)
    assert not is_running(second)


async def test_n2_a_stopped_process_is_noticed_killed_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP: it does not answer, so it is killed and reaped; no zombie stays."""
    monkeypatch.setattr(engines, "STATISTICS_TIMEOUT_S", 0.5)
    events: list[LifecycleEvent] = []
    async with engine(tmp_path, events) as system:
        ref = system.ref("/engine-0")
        first = await pid_of(ref)
        os.kill(first, signal.SIGSTOP)
        await pid_of(ref, other_than=first)

        assert not is_running(first)


@pytest.mark.long
async def test_n2_a_stopped_process_is_noticed_with_the_settings_as_they_come(tmp_path: Path) -> None:
    """SIGSTOP just after a report, which is the worst moment: killed, reaped and replaced within 15 s."""
    async with engine(tmp_path, [], statistics_interval_s=EngineSettings().statistics_interval_s) as system:
        ref = system.ref("/engine-0")
        first = await pid_of(ref)
        os.kill(first, signal.SIGSTOP)
        began = trio.current_time()
        while is_running(first):
            await trio.sleep(0.02)
        noticed_s = trio.current_time() - began
        await pid_of(ref, other_than=first)
        replaced_s = trio.current_time() - began

    print(
        f"N2: a stopped engine process is gone after {noticed_s:.1f} s (bar 15), another ready after {replaced_s:.1f} s; no zombie"
    )
    assert noticed_s < 30


async def test_killing_the_actor_ends_its_process(tmp_path: Path) -> None:
    """No process outlives the actor that made it."""
    events: list[LifecycleEvent] = []
    async with engine(tmp_path, events) as system:
        ref = system.ref("/engine-0")
        first = await pid_of(ref)
        system.kill("/engine-0", "test")
        await pid_of(ref, other_than=first)

        assert not is_running(first)


async def test_stopping_ends_the_process_in_order(tmp_path: Path) -> None:
    """Its process and its socket are gone."""
    events: list[LifecycleEvent] = []
    async with engine(tmp_path, events) as system:
        first = await pid_of(system.ref("/engine-0"))

    assert not is_running(first)
    assert list((tmp_path / "run").iterdir()) == []


async def test_the_metrics_show_the_processes_that_run(tmp_path: Path) -> None:
    """Memory and threads of each while it runs, nothing of one that has ended."""
    metrics = Metrics(CollectorRegistry())
    async with engine(tmp_path, [], metrics) as system:
        pid = await pid_of(system.ref("/engine-0"))
        (figures,) = metrics.engines
        assert (figures.engine, figures.pid, figures.companies) == ("engine-0", pid, 0)
        assert figures.rss_bytes > 1_000_000
        assert b'wasup_engine_memory_bytes{engine="engine-0"}' in metrics.exposition()

    assert metrics.engines == ()
    assert b"wasup_engine_processes 0.0" in metrics.exposition()


@pytest.mark.parametrize(("set_to", "expected"), [(None, engines.GO_GARBAGE_PERCENT), ("200", "200")])
async def test_go_collects_its_garbage_early_unless_the_operator_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, set_to: str | None, expected: str
) -> None:
    """The variable is in the environment when the process starts: Go does not look later."""
    monkeypatch.delenv("GOGC", raising=False)
    if set_to is not None:
        monkeypatch.setenv("GOGC", set_to)
    async with engine(tmp_path, []) as system:
        pid = await pid_of(system.ref("/engine-0"))
        variables = await trio.Path(f"/proc/{pid}/environ").read_bytes()

    assert [value for value in variables.split(b"\0") if value.startswith(b"GOGC=")] == [f"GOGC={expected}".encode()]


async def test_a_ctrl_c_at_the_terminal_is_the_daemons(tmp_path: Path) -> None:
    """The process has a group of its own: it must end after the daemon has written what it shipped, not together with it."""
    async with engine(tmp_path, []) as system:
        pid = await pid_of(system.ref("/engine-0"))

        assert os.getpgid(pid) == pid
