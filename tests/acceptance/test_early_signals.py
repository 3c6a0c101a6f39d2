"""Signals that come before the daemon is ready: it ends in order, as it does later."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest
import trio

from config.state import is_held
from tests.support.daemon import PROGRAM
from tests.support.eventually import eventually
from tests.support.processes import alive, command_line, descendants

NAMESPACE: Final = ("unshare", "--pid", "--fork")


@pytest.fixture
def silent_database() -> Generator[str]:
    """The DSN of a server that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"postgresql://wasup@127.0.0.1:{listener.getsockname()[1]}/wasup?sslmode=disable"


@pytest.fixture
def absent_database() -> str:
    """The DSN of a server that is not there."""
    return "postgresql://wasup@127.0.0.1:1/wasup?sslmode=disable"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "WASUP_STATE_DIR": str(tmp_path / "state"),
        "WASUP_BIND": "127.0.0.1:0",
    }


def start(environment: dict[str, str], *prefix: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen([*prefix, str(PROGRAM), "run"], env=environment, stdout=output, stderr=output)


async def ended(process: subprocess.Popen[bytes], *, within: float) -> int:
    """Return its exit status; kill it when it does not end in time."""

    async def look() -> bool:
        await trio.lowlevel.checkpoint()
        return process.poll() is not None

    try:
        await eventually("the daemon to end", look, within=within)
    finally:
        process.kill()
        process.wait()
    return process.returncode


async def holds_its_state(environment: dict[str, str]) -> None:
    async def look() -> bool:
        await trio.lowlevel.checkpoint()
        return is_held(Path(environment["WASUP_STATE_DIR"]))

    await eventually("the state directory to be held", look, within=60.0)


async def has_logged(log: Path, text: str) -> None:
    async def look() -> bool:
        return text in await trio.Path(log).read_text(errors="replace")

    await eventually(f"{text} in the log", look, within=60.0)


async def makes_its_database(process: subprocess.Popen[bytes]) -> frozenset[int]:
    """Wait for the embedded server's programs; their pids."""

    async def look() -> frozenset[int]:
        await trio.lowlevel.checkpoint()
        return frozenset(pid for pid in descendants(process.pid) if "postgres" in command_line(pid))

    return await eventually("the embedded server to be made", look, within=60.0)


FIRST_LINE: Final = """
import os, signal, sys
from actors import main as program
number = signal.Signals[sys.argv.pop()]
build = program._main
def signalled(*arguments):
    os.kill(os.getpid(), number)
    return build(*arguments)
program._main = signalled
sys.exit(program.main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_line_of_main_obeys(environment: dict[str, str], number: signal.Signals) -> None:
    """Nothing has begun yet, so it ends at once, with 0."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_LINE, "run", number.name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not Path(environment["WASUP_STATE_DIR"]).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("database", ["silent_database", "absent_database"])
async def test_a_daemon_whose_database_is_away_ends_in_order(
    environment: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest, database: str, number: signal.Signals
) -> None:
    """It waits for the database when the signal comes: it says that it stops, and ends with 0."""
    log = tmp_path / "log"
    process = start(environment | {"DATABASE_URL": request.getfixturevalue(database)}, log=log)
    await holds_its_state(environment)
    process.send_signal(number)

    assert await ended(process, within=20.0) == 0, log.read_text()
    assert '"event":"stopping"' in log.read_text()
    assert '"event":"stopped"' in log.read_text()


async def test_a_daemon_that_makes_its_database_ends_in_order(
    tmp_path: Path, environment: dict[str, str], reachable: Path
) -> None:
    """The embedded server's first start takes seconds; nothing of it runs afterwards."""
    log = tmp_path / "log"
    process = start(environment | {"WASUP_STATE_DIR": str(reachable / "state")}, log=log)
    family = await makes_its_database(process)
    process.send_signal(signal.SIGTERM)

    assert await ended(process, within=30.0) == 0, log.read_text()
    assert not alive(family)


async def test_a_reload_before_it_is_ready_does_not_end_it(
    environment: dict[str, str], tmp_path: Path, absent_database: str
) -> None:
    """SIGHUP waits until there is something to reload."""
    log = tmp_path / "log"
    process = start(environment | {"DATABASE_URL": absent_database}, log=log)
    await holds_its_state(environment)
    process.send_signal(signal.SIGHUP)
    await has_logged(log, "waiting_for_postgres")

    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert await ended(process, within=20.0) == 0


def _no_namespace() -> str:
    """Why there can be no process namespace here; empty when there can."""
    if shutil.which("unshare") is None:
        return "unshare (util-linux) is not installed"
    tried = subprocess.run([*NAMESPACE, "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else ""


@pytest.mark.skipif(bool(_no_namespace()), reason=f"no process namespace: {_no_namespace()}")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_process_1_whose_database_is_away_ends_in_order(
    environment: dict[str, str], tmp_path: Path, absent_database: str, number: signal.Signals
) -> None:
    """The kernel drops signals for which process 1 of a container has no handler; this one has."""
    log = tmp_path / "log"
    outer = start(environment | {"DATABASE_URL": absent_database}, *NAMESPACE, log=log)
    await has_logged(log, "waiting_for_postgres")
    (inner,) = (pid for pid in descendants(outer.pid) if "wasup" in command_line(pid))
    os.kill(inner, number)

    try:
        assert await ended(outer, within=20.0) == 0, log.read_text()
    finally:
        if command_line(inner):
            os.kill(inner, signal.SIGKILL)
    assert '"event":"stopped"' in log.read_text()


HANGING: Final = """
import trio
from actors.daemon.stopping import end_at_latest
end_at_latest(0.3)
with trio.CancelScope(shield=True):
    trio.run(trio.sleep, 600)
"""


@pytest.mark.skipif(bool(_no_namespace()), reason=f"no process namespace: {_no_namespace()}")
def test_process_1_that_hangs_at_its_end_is_ended() -> None:
    """No alarm ends process 1: its own thread does."""
    done = subprocess.run([*NAMESPACE, sys.executable, "-c", HANGING], timeout=60, check=False)

    assert done.returncode == 1
