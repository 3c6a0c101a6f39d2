"""Checks that engine processes can start here before the first company needs one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Final

CHECK_WITHIN_S: Final = 60.0
"""The limit of the check, which takes half a second; a machine that has just booted may be slow."""
_LONGEST: Final = 500


class EngineUnusable(Exception):
    """No engine process can start here; the text says why."""


def check_engine(environment: Mapping[str, str]) -> None:
    """Load what an engine process loads, in a process of its own. Raise `EngineUnusable` when that fails. Blocks."""
    command = [sys.executable, "-m", "actors.engine.check"]
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(environment),
            timeout=CHECK_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EngineUnusable(f"the WhatsApp library was not loaded within {CHECK_WITHIN_S:.0f} s") from None
    if done.returncode:
        raise EngineUnusable(_reason(done.stderr.decode(errors="replace"), done.returncode))


def _reason(said: str, status: int) -> str:
    """Return the last line of the process's output, or its exit status when there is none."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:_LONGEST] if lines else f"loading the WhatsApp library ended with status {status}"
