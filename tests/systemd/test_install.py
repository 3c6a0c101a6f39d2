"""deploy/install.sh on a machine of its own: a release, an upgrade, and the way back."""

from __future__ import annotations

from tests.systemd.installation import INTERPRETER, ON_A_MACHINE, install
from tests.systemd.machine import Machine

pytestmark = list(ON_A_MACHINE)
AS_ROOT = """
set -e
WASUP_BIND=127.0.0.1:0 /srv/wasup/.venv/bin/wasup run >/tmp/root.log 2>&1 &
for _ in $(seq 600); do [ -e /var/lib/wasup/daemon.json ] && break; sleep 0.1; done
[ -e /var/lib/wasup/daemon.json ] || { cat /tmp/root.log; exit 1; }
kill $!
wait $!
"""
"""Run what `make run` executes, until it serves; then Ctrl-C."""


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


def test_what_root_made_is_adopted(machine: Machine) -> None:
    """`make run` as root leaves a state directory in the service's place: its database, keys and devices then belong to the service."""
    machine.run("sh", "-c", AS_ROOT)
    made = machine.run("cat", "/var/lib/wasup/admin.key").stdout

    said = install(machine)

    assert "they become user wasup's" in said
    assert "active (running)" in said
    assert machine.run("cat", "/var/lib/wasup/admin.key").stdout == made
    assert machine.run("find", "/var/lib/wasup", "!", "-user", "wasup").stdout == ""
    assert machine.show("wasup.service", "NRestarts") == "0"
    listed = machine.run("/opt/wasup/current/.venv/bin/wasup", "sessions", "--json")
    assert '"count": 0' in listed.stdout


def test_a_state_directory_in_use_is_refused(machine: Machine) -> None:
    """The refusal is a sentence, before anything is changed."""
    machine.run("mkdir", "-p", "/var/lib/wasup")
    machine.run("sh", "-c", "flock /var/lib/wasup/daemon.lock sleep 60 >/dev/null 2>&1 & sleep 0.5")

    done = machine.run("env", f"PYTHON={INTERPRETER}", "/srv/wasup/deploy/install.sh", check=False)

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "deploy/install.sh: a daemon runs on /var/lib/wasup (`make run`?): stop it first"
    ]
    assert machine.run("ls", "/opt/wasup", check=False).returncode != 0
