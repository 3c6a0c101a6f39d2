"""With packages that the engine cannot be used with, wasup says so before it tries anything else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import PROGRAM, Daemon
from tests.support.postgres import reachable_directory
from tests.support.site import INHERITED

OLD_PROTOBUF = (
    "import google.protobuf.runtime_version as r; r.MAJOR, r.MINOR, r.PATCH, r.OSS_VERSION = 6, 33, 6, '6.33.6'"
)
"""The version that generated messages check, as protobuf 6.33.6 has it."""


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """One that is not started yet, on a machine with an old protobuf."""
    directory = reachable_directory()
    (directory / "packages").mkdir()
    (directory / "packages" / "sitecustomize.py").write_text(OLD_PROTOBUF)
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment |= {"WASUP_BIND": "127.0.0.1:0", "PYTHONPATH": str(directory / "packages")}
    daemon = Daemon(directory / "state", environment, directory / "daemon.log")
    yield daemon
    daemon.end()
    shutil.rmtree(directory)


async def test_a_daemon_whose_engine_cannot_be_loaded_does_not_start(daemon: Daemon) -> None:
    """It ends with 1 and a sentence that names the package; it never says that it is ready, and names no other cause."""
    daemon.start()
    status = await daemon.wait_ended(within=60.0)
    said = daemon.log.read_text()

    assert status == 1
    assert "wasup: could not start: neonize 0.5.2 cannot be used with protobuf" in said
    assert "gencode 7.34.1 runtime 6.33.6" in said
    assert "wasup is running" not in said
    assert not (daemon.state_dir / "daemon.json").exists()


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_check_config_loads_what_the_engine_loads(daemon: Daemon, words: tuple[str, ...]) -> None:
    """The settings are shown as well; the exit status and one sentence say what is wrong."""
    done = subprocess.run(
        [PROGRAM, "check-config", *words],
        env=daemon.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "http.max_body_bytes" in done.stdout
    assert done.stderr.startswith("wasup: the settings are in order, but no company could connect")
    assert "protobuf" in done.stderr
    assert done.stderr.count("\n") == 1


def test_check_config_is_content_with_what_is_pinned(daemon: Daemon, tmp_path: Path) -> None:
    """And the check leaves no files behind."""
    environment = {**daemon.environment, "PYTHONPATH": "", "TMPDIR": str(tmp_path)}
    done = subprocess.run([PROGRAM, "check-config"], env=environment, capture_output=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, b"")
    assert list(tmp_path.iterdir()) == []
