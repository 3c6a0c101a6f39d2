"""deploy/install.sh on a machine of its own, for the tests of what it installs."""

from __future__ import annotations

import shutil
from typing import Final

import pytest

from tests.systemd.machine import Machine, why_not

INTERPRETER: Final = "/usr/bin/python3"
"""The distribution's: the service's user could not run one below a home directory."""
ON_A_MACHINE: Final = (
    pytest.mark.long,
    pytest.mark.skipif(why_not() is not None, reason=f"no machine for systemd: {why_not()}"),
    pytest.mark.skipif(shutil.which(INTERPRETER) is None, reason=f"{INTERPRETER} is not installed"),
)


def install(machine: Machine, *arguments: str) -> str:
    """Run it; return its output."""
    script = ["env", f"PYTHON={INTERPRETER}", "/srv/wasup/deploy/install.sh", *arguments]
    done = machine.run(*script, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
