"""deploy/backup.sh and its like, run as an operator does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import trio

from storage.embedded.binaries import packaged

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
WITHIN_S: Final = 300.0


async def run_script(
    name: str, *arguments: str | Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a script of deploy/ to its end."""
    with trio.fail_after(WITHIN_S):
        done = await trio.run_process(
            [str(DEPLOY / name), *map(str, arguments)],
            env=environment,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def environment_for(dsn: str, state_dir: Path, **more: str) -> dict[str, str]:
    """The environment of an operator with a server of their own and the programs of its version."""
    path = f"{packaged() / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "DATABASE_URL": dsn, "WASUP_STATE_DIR": str(state_dir), **more}
