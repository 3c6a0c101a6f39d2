"""The daemon's messages to systemd."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.daemon.notify import ServiceManager


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5.0)
        yield listening


def test_ready_says_so_with_a_status(listener: socket.socket) -> None:
    """One datagram, a line each."""
    ServiceManager(listener.getsockname()).ready("serving\nhttp://127.0.0.1:3003")

    assert listener.recv(1000) == b"READY=1\nSTATUS=serving http://127.0.0.1:3003"


def test_a_reload_carries_the_monotonic_time(listener: socket.socket) -> None:
    """systemd wants to know which reload the next READY=1 ends."""
    ServiceManager(listener.getsockname()).reloading()

    first, second = listener.recv(1000).decode().split("\n")
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdecimal()


def test_abstract_sockets_are_understood() -> None:
    """A leading @ stands for the zero byte."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")  # the kernel chooses an abstract name
        listening.settimeout(5.0)
        ServiceManager("@" + listening.getsockname()[1:].decode()).alive()

        assert listening.recv(1000) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify"])
def test_nobody_listening_hurts_nobody(address: str | None) -> None:
    """Without a socket, or with one that is gone, notifying does nothing."""
    manager = ServiceManager(address)

    manager.ready("up")
    manager.alive()
    manager.stopping("down")

    assert manager.watchdog_s is None


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_taken_from_the_environment(environment: dict[str, str], watchdog_s: float | None) -> None:
    """Unless it is another process's, or no number."""
    assert ServiceManager.of_environment(environment, 7).watchdog_s == watchdog_s
