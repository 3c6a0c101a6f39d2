"""A machine for the unit: a real systemd as process 1 in namespaces of its own, over a copy-on-write view of this one's files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, final

from tests.packaging.project import ROOT

SYSTEMD: Final = Path("/lib/systemd/systemd")
BOOT_WITHIN_S: Final = 60.0
COMMAND_WITHIN_S: Final = 600.0
"""An installation fetches every package: minutes on a busy machine."""
NAMESPACES: Final = ("--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts", "--cgroup")


class CannotBootError(Exception):
    """This machine does not allow it; the text says what failed."""


def why_not() -> str | None:
    """What this machine lacks for it; None when it can be tried."""
    if os.geteuid() != 0:
        return "only root can make the namespaces"
    if not SYSTEMD.exists():
        return "systemd is not installed"
    missing = [tool for tool in ("unshare", "nsenter", "mount", "pivot_root") if shutil.which(tool) is None]
    return f"{missing[0]} is not installed" if missing else None


@final
class Machine:
    """Run commands and change files in it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as its root."""
        return subprocess.run(
            ["nsenter", "--target", str(self._pid), "--all", *command],
            capture_output=True,
            text=True,
            check=check,
            timeout=COMMAND_WITHIN_S,
        )

    def write(self, path: str, text: str) -> None:
        """Write a file, with the directories above it."""
        target = Path(f"/proc/{self._pid}/root{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def read(self, path: str) -> str:
        """The content of a file."""
        return Path(f"/proc/{self._pid}/root{path}").read_text()

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).stdout.strip()

    def journal(self, unit: str) -> str:
        """What the unit logged."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}", check=False).stdout


@contextmanager
def booted(directory: Path) -> Generator[Machine]:
    """A machine that has reached basic.target; all its processes end with the block. Raises `CannotBootError`."""
    log = directory / "boot.log"
    root = directory / "machine"
    root.mkdir()
    script = str(Path(__file__).with_name("machine.sh"))
    command = ["unshare", *NAMESPACES, "sh", script, str(root), str(ROOT)]
    arguments = ["--unit=basic.target", "--show-status=no", "--log-target=journal-or-kmsg"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": os.environ["PATH"], "container": "wasup-tests"},
        )
    try:
        machine = Machine(_init(process, log))
        _wait_booted(machine, process, log)
        yield machine
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)  # --kill-child: process 1 ends with it, and everything with process 1
        process.wait()


def _init(process: subprocess.Popen[bytes], log: Path) -> int:
    """Our pid of the machine's process 1, once that is systemd."""
    deadline = time.monotonic() + BOOT_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/comm").read_text().strip() == "systemd":
            return int(children[0])
        time.sleep(0.05)
    raise CannotBootError(log.read_text()[-500:] or "process 1 did not come up")


def _wait_booted(machine: Machine, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + BOOT_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        if machine.run("systemctl", "is-active", "basic.target", check=False).stdout.strip() == "active":
            return
        time.sleep(0.05)
    raise CannotBootError(f"basic.target was not reached: {log.read_text()[-500:]}")
