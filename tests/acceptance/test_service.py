"""The daemon as a service: its messages to its manager, what a reload changes, and a stop that is cut."""

from __future__ import annotations

import signal
import socket
from collections.abc import Generator
from pathlib import Path

import pytest
import trio

from tests.support.api import SESSIONS, open_api
from tests.support.eventually import eventually
from tests.support.processes import alive
from tests.support.site import Site, open_site

COMPANY = "962302"
SETTINGS = "log_level = 'info'\n[rate_limit]\nmax_requests = {}\n"


class Manager:
    """Receives the messages that systemd would."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.heard: list[str] = []

    async def wait_for(self, text: str) -> None:
        """Wait for a message that contains ``text``."""

        async def look() -> bool:
            await trio.lowlevel.checkpoint()
            while True:
                try:
                    self.heard.append(self._listener.recv(1000).decode())
                except BlockingIOError:
                    return any(text in each for each in self.heard)

        await eventually(f"{text} to be told", look, within=30.0)


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Generator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path_factory.mktemp("manager") / "notify"))
        listener.setblocking(False)
        yield Manager(listener)


@pytest.fixture(scope="module")
def settings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("settings") / "wasup.toml"
    file.write_text(SETTINGS.format(30))
    return file


@pytest.fixture(scope="module")
def site(manager: Manager, settings_file: Path) -> Generator[Site]:
    settings = {
        "NOTIFY_SOCKET": manager._listener.getsockname(),
        "WATCHDOG_USEC": "600000",
        "WASUP_CONFIG": str(settings_file),
    }
    with open_site(settings) as site:
        site.daemon.start()
        trio.run(site.daemon.wait_ready)
        yield site


def logged(site: Site, event: str, field: str) -> list[str]:
    """A field of all lines of this event, from the log of this start."""
    return [line[field] for line in site.daemon.lines() if line.get("event") == event]


async def test_it_says_when_it_is_ready_and_that_it_lives(site: Site, manager: Manager) -> None:
    """READY=1 with the address; then WATCHDOG=1 again and again."""
    await manager.wait_for(f"READY=1\nSTATUS=serving {site.daemon.url}")
    manager.heard.clear()
    await manager.wait_for("WATCHDOG=1")

    assert not any("READY=1" in each for each in manager.heard)


async def test_a_reload_changes_what_can_be_changed(site: Site, manager: Manager, settings_file: Path) -> None:
    """SIGHUP: the new rate limit holds at once, what needs a restart is named, and the manager hears both ends."""
    await trio.Path(settings_file).write_text("sessions_per_engine = 9\n" + SETTINGS.format(7))
    site.daemon.signal(signal.SIGHUP)
    await manager.wait_for("RELOADING=1")
    await manager.wait_for("STATUS=reloaded, 1 settings changed, 1 need a restart")

    assert logged(site, "setting_reloaded", "key_name") == ["rate_limit.max_requests"]
    assert logged(site, "setting_needs_restart", "key_name") == ["sessions_per_engine"]


async def test_a_reload_with_a_mistake_changes_nothing(site: Site, manager: Manager, settings_file: Path) -> None:
    """The log says what is wrong, where, and what would be right; the daemon goes on."""
    await trio.Path(settings_file).write_text(SETTINGS.format("'many'"))
    site.daemon.signal(signal.SIGHUP)
    await manager.wait_for("reload refused, nothing was changed")

    (reason,) = logged(site, "reload_refused", "reason")
    assert "wasup.toml:3: rate_limit.max_requests" in reason
    assert logged(site, "setting_reloaded", "key_name") == ["rate_limit.max_requests"]  # the earlier one


async def test_s4_a_stop_over_its_time_is_cut(site: Site, manager: Manager, settings_file: Path) -> None:
    """What still runs is listed, the exit status is 1, and no process of the daemon is left."""
    await trio.Path(settings_file).write_text(SETTINGS.format(30))
    await site.daemon.stop()
    short = {"WASUP_STOP_TIMEOUT_S": "0.3", "WASUP_HTTP_DRAIN_TIMEOUT_S": "30"}
    site.daemon.environment = {**site.daemon.environment, **short}
    await site.daemon.restart()
    family = site.daemon.family()
    host, port = site.daemon.url.removeprefix("http://").split(":")
    async with await trio.open_tcp_stream(host, int(port)) as client:
        head = f"POST {SESSIONS}/{COMPANY}/send HTTP/1.1\r\nhost: here\r\nx-api-key: {site.daemon.key}\r\n"
        body = "content-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        await client.send_all((head + body).encode())  # the rest of this request never comes
        await eventually("the connection to be open", lambda: _connections(site), within=30.0)
        site.daemon.signal(signal.SIGTERM)
        began = trio.current_time()
        await manager.wait_for("STOPPING=1")
        status = await site.daemon.wait_ended(within=30.0)
        took_s = trio.current_time() - began

    assert status == 1
    assert "/http" in logged(site, "cut", "path")
    await eventually("its processes to be gone", lambda: _gone(family), within=10.0)
    print(
        f"S4: exit status {status} after {took_s:.1f} s with a stop time of 0.3 s; TimeoutStopSec= of the unit is 45 s"
    )


async def _connections(site: Site) -> bool:
    async with open_api(site.daemon) as api:
        answer = await api.call("GET", "/metrics")
    return any(
        line.startswith("wasup_http_open_connections") and float(line.split()[-1]) >= 2
        for line in answer.text.splitlines()
    )


async def _gone(family: frozenset[int]) -> bool:
    await trio.lowlevel.checkpoint()
    return not alive(family)
