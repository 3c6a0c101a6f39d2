"""deploy/install.sh on a machine of its own: a release, an upgrade, and the way back."""

from __future__ import annotations

import shutil
from collections.abc import Generator

import pytest

from tests.systemd.machine import CannotBootError, Machine, booted, why_not

INTERPRETER = "/usr/bin/python3"
"""The distribution's: one below a home directory the service's user could not run."""
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(why_not() is not None, reason=f"no machine for systemd: {why_not()}"),
    pytest.mark.skipif(shutil.which(INTERPRETER) is None, reason=f"{INTERPRETER} is not installed"),
]


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Generator[Machine]:
    try:
        with booted(tmp_path_factory.mktemp("install")) as machine:
            yield machine
    except CannotBootError as error:
        pytest.skip(f"no machine for systemd: {error}")


def install(machine: Machine, *arguments: str) -> str:
    """Run it; what it printed."""
    script = ["env", f"PYTHON={INTERPRETER}", "/srv/wasup/deploy/install.sh", *arguments]
    done = machine.run(*script, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_install_upgrade_and_back(machine: Machine) -> None:
    """The first run starts the service; the second replaces it and keeps the first, to which --rollback returns."""
    assert "active (running)" in install(machine)
    first = machine.run("readlink", "/opt/wasup/current").stdout
    install(machine)
    second = machine.run("readlink", "/opt/wasup/current").stdout
    install(machine, "--rollback")

    assert first != second
    assert machine.run("readlink", "/opt/wasup/current").stdout == first
    assert machine.run("readlink", "/opt/wasup/previous").stdout == second
    assert machine.show("wasup.service", "ActiveState") == "active"
