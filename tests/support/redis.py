"""A Redis of the test's own: Debian's `redis-server`, which can be killed, stopped and started again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import final

import pytest

from config.secret import Secret

START_WITHIN_S = 20.0


@final
class Redis:
    """Listens on a Unix socket in a directory of its own; keeps nothing over a restart."""

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> Secret:
        """For settings."""
        return Secret(f"unix://{self._socket}")

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        self._socket.unlink(missing_ok=True)
        command = [self._program, "--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([*command, "--dir", str(self._directory)], stdout=subprocess.DEVNULL)
        for _ in range(round(START_WITHIN_S / 0.02)):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(START_WITHIN_S)
                if probe.connect_ex(str(self._socket)) == 0:
                    return
            try:
                status = self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"redis-server ended with status {status}")
        raise RuntimeError(f"redis-server did not start within {START_WITHIN_S:g} s")

    def kill(self) -> None:
        """SIGKILL, as at a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: it accepts connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def _socket(self) -> Path:
        return self._directory / "redis.sock"


@pytest.fixture
def redis() -> Generator[Redis]:
    """A running Redis."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian's package redis-server)")
    with tempfile.TemporaryDirectory(prefix="wasup-redis-") as directory:
        server = Redis(program, Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.kill()
