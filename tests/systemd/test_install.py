"""deploy/install.sh on a machine of its own: a release, an upgrade, and the way back."""

from __future__ import annotations

from tests.systemd.installation import ON_A_MACHINE, install
from tests.systemd.machine import Machine

pytestmark = list(ON_A_MACHINE)


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
