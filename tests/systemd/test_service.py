"""The unit under a real systemd, in namespaces on this machine."""

from __future__ import annotations

import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.packaging.project import ROOT
from tests.systemd.machine import CannotBootError, Machine, booted, why_not

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None, reason=f"no machine for systemd: {why_not()}"),
]
UNIT = "wasup.service"
PROBE = "/opt/wasup/current/tests/systemd/probe.py"
PROJECT = "/srv/wasup"
BLOCKED_S = 40
WATCHDOG_S = 2
DROP_IN = """
[Service]
# The environment of this checkout is used where it is seen in the machine, and its interpreter wherever that is.
ExecStartPre=/opt/wasup/current/.venv/bin/python {probe}
ExecStart=
ExecStart=/opt/wasup/current/.venv/bin/python -c "import signal, sys, time; from actors.main import main; \
    signal.signal(signal.SIGUSR1, lambda *_: time.sleep({blocked_s})); sys.exit(main())" run
Environment=PYTHONPATH=/opt/wasup/current PYTHONDONTWRITEBYTECODE=1
Environment=WASUP_BIND=127.0.0.1:{port}
Environment=WASUP_LOG_LEVEL=debug
{home}
WatchdogSec={watchdog_s}
TimeoutAbortSec=1
RestartSec=100ms
"""


@pytest.fixture(scope="module")
def port() -> int:
    """Free on this host, whose network the machine shares."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, port: int) -> Generator[Machine]:
    """With the unit, its user and its directories as deploy/install.sh makes them, not started."""
    try:
        with booted(tmp_path_factory.mktemp("systemd")) as machine:
            _install(machine, port)
            yield machine
    except CannotBootError as error:
        pytest.skip(f"no machine for systemd: {error}")


def _install(machine: Machine, port: int) -> None:
    machine.write("/usr/lib/sysusers.d/wasup.conf", (ROOT / "deploy/wasup.sysusers").read_text())
    machine.write("/usr/lib/tmpfiles.d/wasup.conf", (ROOT / "deploy/wasup.tmpfiles").read_text())
    machine.write(f"/etc/systemd/system/{UNIT}", (ROOT / "deploy/wasup.service").read_text())
    home = Path(sys.base_prefix).parts[1]
    opened = home in ("root", "home")
    if opened:  # an interpreter below a home directory, as pyenv has it, is behind ProtectHome= otherwise
        machine.run("chmod", "o+x", f"/{home}")
    drop_in = DROP_IN.format(
        port=port,
        probe=PROBE,
        blocked_s=BLOCKED_S,
        watchdog_s=WATCHDOG_S,
        home="ProtectHome=tmpfs\nBindReadOnlyPaths=" + sys.base_prefix if opened else "",
    )
    machine.write(f"/etc/systemd/system/{UNIT}.d/test.conf", drop_in)
    machine.run("mkdir", "-p", "/opt/wasup")
    machine.run("ln", "-s", PROJECT, "/opt/wasup/current")
    machine.run("systemd-sysusers")
    machine.run("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/wasup.conf")
    machine.run("systemctl", "daemon-reload")


@pytest.fixture
def running(machine: Machine) -> Machine:
    """The service is up."""
    started = machine.run("systemctl", "start", UNIT, check=False)
    assert started.returncode == 0, (
        machine.run("systemctl", "status", "--no-pager", "-l", UNIT, check=False).stdout + machine.journal(UNIT)[-3000:]
    )
    return machine


def alive(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for(what: str, condition: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {within_s:g} s for {what}"
        time.sleep(0.05)


def test_it_is_started_when_it_serves(running: Machine, port: int) -> None:
    """`systemctl start` returns on READY=1, and then HTTP answers; the status says where."""
    assert alive(port)
    assert running.show(UNIT, "ActiveState") == "active"
    assert running.show(UNIT, "StatusText") == f"serving http://127.0.0.1:{port}"


def test_d6_its_sandbox_holds(running: Machine) -> None:
    """A program of the service's is denied what the unit denies; the daemon, its Postgres and its engine's library work in it."""
    assert "probes: 12, not denied: []" in running.journal(UNIT)
    print("D6: 12 probes as the service, 12 denied")


def test_a_reload_goes_through(running: Machine) -> None:
    """`systemctl reload` has the settings read again."""
    running.run("systemctl", "reload", UNIT)
    wait_for("the reload", lambda: running.show(UNIT, "StatusText").startswith("reloaded, 0 settings changed"))


def test_s5_a_blocked_loop_is_restarted(running: Machine, port: int) -> None:
    """A call in the event loop that takes 40 s: its other threads run, the watchdog is not fed, systemd starts the daemon again."""
    before = int(running.show(UNIT, "NRestarts"))
    running.run("kill", "-USR1", running.show(UNIT, "MainPID"))
    began = time.monotonic()
    wait_for("the restart", lambda: int(running.show(UNIT, "NRestarts")) > before)
    restarted_s = time.monotonic() - began
    wait_for("HTTP", lambda: alive(port))

    assert restarted_s < BLOCKED_S
    print(
        f"S5: a call that blocks the loop for {BLOCKED_S} s: restarted after {restarted_s:.1f} s (WatchdogSec={WATCHDOG_S}, bar "
        f"{WATCHDOG_S + 5}), HTTP after {time.monotonic() - began:.1f} s"
    )


def test_s5_a_hung_daemon_is_restarted(running: Machine, port: int) -> None:
    """Stopped by SIGSTOP, it does not feed the watchdog; systemd ends it and starts it again."""
    before = int(running.show(UNIT, "NRestarts"))
    running.run("kill", "-STOP", running.show(UNIT, "MainPID"))
    wait_for("the restart", lambda: int(running.show(UNIT, "NRestarts")) > before)
    wait_for("HTTP", lambda: alive(port))

    assert "watchdog" in running.journal(UNIT).lower()


def test_it_stops_in_time_under_load(running: Machine, port: int) -> None:
    """While clients keep asking, a stop ends well before its time-out, by itself."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            alive(port)

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for client in clients:
        client.start()
    try:
        running.run("systemctl", "stop", UNIT)
    finally:
        stop.set()
        for client in clients:
            client.join()

    assert running.show(UNIT, "Result") == "success"
    assert running.show(UNIT, "ExecMainStatus") == "0"


def test_the_engine_runs_in_the_sandbox(running: Machine, port: int) -> None:
    """WhatsApp's library loads and answers under everything the unit forbids, writable code included."""
    key = running.read("/var/lib/wasup/admin.key").strip()
    url = f"http://127.0.0.1:{port}/api/whatsapp/sessions/962302/initialize"
    request = urllib.request.Request(url, method="POST", headers={"X-Api-Key": key}, data=b"")
    with suppress(OSError):  # WhatsApp itself must not be reached from here
        urllib.request.urlopen(request, timeout=0.5).close()

    wait_for("the engine", lambda: "engine_ready" in running.journal(UNIT))


def test_credentials_reach_the_settings(machine: Machine) -> None:
    """A wrong secret stops the start with exit code 3, named by its credential, and systemd does not try again."""
    if not has_credentials(machine):
        pytest.skip("systemd cannot hand credentials to a service in these namespaces: the kernel's tmpfs has no ACLs")
    machine.write("/etc/wasup/credentials/proxy", "no address at all")
    credential = "[Service]\nLoadCredential=proxy:/etc/wasup/credentials/proxy\n"
    machine.write(f"/etc/systemd/system/{UNIT}.d/secret.conf", credential)
    machine.run("systemctl", "stop", UNIT)
    machine.run("systemctl", "daemon-reload")
    started = machine.run("systemctl", "start", UNIT, check=False)

    assert started.returncode != 0
    assert machine.show(UNIT, "ExecMainStatus") == "3"
    assert "credential proxy" in machine.journal(UNIT)
    assert machine.show(UNIT, "ActiveState") == "failed"


def has_credentials(machine: Machine) -> bool:
    """Whether a service of the same user can read a credential here."""
    read = "/bin/sh -c 'cat $$CREDENTIALS_DIRECTORY/x'"
    unit = f"[Service]\nType=oneshot\nUser=wasup\nLoadCredential=x:/etc/hostname\nExecStart={read}\n"
    machine.write("/etc/systemd/system/credentials.service", unit)
    machine.run("systemctl", "daemon-reload")
    return machine.run("systemctl", "start", "credentials.service", check=False).returncode == 0
