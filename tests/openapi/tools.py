"""Runs the tools from npm that read the OpenAPI document, installed once per lock file as Baileys is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.loopback.node.install import NodeMissingError, installed

HERE: Final = Path(__file__).parent
CLIENTS: Final = HERE / "clients"
USER: Final = "a linter or generator of the OpenAPI document"
TIMEOUT_S: Final = 120
# Neither asks its maker for a newer version nor reports this use.
_QUIET: Final = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "CI": "true"}


def modules_or_skip() -> Path:
    """The installed ``node_modules``; skips where there is no Node."""
    try:
        return installed(manifests=HERE / "node", user=USER) / "node_modules"
    except NodeMissingError as error:
        pytest.skip(str(error))


def run(command: list[str], directory: Path, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program in ``directory``, for two minutes at most."""
    environment = {**os.environ, **_QUIET, **(more or {})}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def succeed(command: list[str], directory: Path, more: Mapping[str, str] | None = None) -> str:
    """The program's output; the test fails with all of it when the program failed."""
    done = run(command, directory, more)
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}{done.stderr}"
    return done.stdout
