"""Reports to the service manager by systemd's notification protocol (sd_notify): datagrams to ``$NOTIFY_SOCKET``."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, final

STATUS_MOST_CHARS: Final = 200


@final
class ServiceManager:
    """Tells systemd how the daemon is. Without a service manager every call does nothing. No call blocks or raises."""

    def __init__(self, address: str | None = None, *, watchdog_s: float | None = None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s
        """Longest time in seconds between two calls of `alive`, after which systemd ends the daemon; None: no watchdog."""

    @classmethod
    def of_environment(cls, environment: Mapping[str, str], pid: int) -> ServiceManager:
        """Make one from the variables that systemd set; with a watchdog only when that is meant for this process."""
        watchdog_us = environment.get("WATCHDOG_USEC", "")
        is_ours = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        watchdog_s = int(watchdog_us) / 1e6 if watchdog_us.isdecimal() and is_ours else 0.0
        return cls(environment.get("NOTIFY_SOCKET"), watchdog_s=watchdog_s or None)

    def ready(self, status: str) -> None:
        """The start, or a reload, is done."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """The settings are being read again; `ready` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """The stop has begun."""
        self._send("STOPPING=1", _status(status))

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the text that `systemctl status` shows."""
        self._send(_status(text))

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        # A leading @ names an abstract socket.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), address)


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:STATUS_MOST_CHARS]
