"""Backup, drill and restore as docs/backup.md tells an operator of an installed wasup."""

from __future__ import annotations

from tests.systemd.installation import ON_A_MACHINE, install
from tests.systemd.machine import Machine

RELEASE = "/opt/wasup/current"
AS_SERVICE = (
    "runuser",
    "-u",
    "wasup",
    "--",
    "env",
    "WASUP_STATE_DIR=/var/lib/wasup",
    "WASUP_CONFIG=/etc/wasup/wasup.toml",
)
pytestmark = list(ON_A_MACHINE)


def succeeded(machine: Machine, *command: str) -> str:
    """Run a command that succeeds; return its output."""
    done = machine.run(*command, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_backup_drill_and_restore_of_an_installed_service(machine: Machine) -> None:
    """Backed up and drilled by the unit beside the running service; restored by the service's user into an embedded server of its own."""
    install(machine)
    wasup, scripts = (*AS_SERVICE, f"{RELEASE}/.venv/bin/wasup"), f"{RELEASE}/deploy"
    key = succeeded(machine, *wasup, "keys", "create", "shop", "--company", "962302").strip()
    succeeded(machine, "install", "-d", "-o", "wasup", "-g", "wasup", "-m", "0700", "/var/backups/wasup")
    succeeded(machine, "cp", f"{scripts}/wasup-backup.service", f"{scripts}/wasup-backup.timer", "/etc/systemd/system/")
    succeeded(machine, "systemctl", "daemon-reload")
    machine.run("systemctl", "start", "wasup-backup.service", check=False)
    assert "the backup is good" in machine.journal("wasup-backup.service")
    succeeded(machine, "systemctl", "enable", "--now", "wasup-backup.timer")
    backup = succeeded(machine, "sh", "-c", "ls /var/backups/wasup/*.dump").strip()
    in_use = machine.run(*AS_SERVICE, f"{scripts}/restore.sh", backup, check=False)

    succeeded(machine, "systemctl", "stop", "wasup")
    succeeded(machine, "mv", "/var/lib/wasup/postgres", "/var/lib/wasup/postgres.old")
    by_root = machine.run(f"{scripts}/restore.sh", backup, check=False)
    succeeded(machine, *AS_SERVICE, f"{scripts}/restore.sh", backup)
    succeeded(machine, "systemctl", "start", "wasup")

    assert "connections to this database are open: stop wasup first" in in_use.stderr
    assert "run as its owner" in by_root.stderr
    answer = succeeded(machine, "curl", "-s", "-H", f"X-Api-Key: {key}", "http://127.0.0.1:3003/api/whatsapp/sessions")
    assert '"sessions"' in answer
