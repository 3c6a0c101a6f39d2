"""The installed `wasup run` in a process of its own."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, final

import msgspec
import trio

from tests.support.eventually import LOOK_EVERY_S, eventually
from tests.support.processes import alive, command_line, descendants, is_alive

PROGRAM: Final = Path(sys.executable).with_name("wasup")
TAIL_LINES: Final = 60
_PR_SET_PDEATHSIG: Final = 1


class DaemonEndedError(Exception):
    """The daemon ended by itself; the text ends with its log's last lines."""


@final
class Daemon:
    """One state directory's daemon: start it, stop it, kill it, start it again. Its log is one file."""

    def __init__(self, state_dir: Path, environment: Mapping[str, str], log: Path) -> None:
        self.state_dir = state_dir
        # No test asks the internet which version is the newest.
        self.environment = {"WASUP_WHATSAPP_VERSION": "library", **environment, "WASUP_STATE_DIR": str(state_dir)}
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._url: str | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "start it first"
        return self._process.pid

    @property
    def url(self) -> str:
        """Where it serves HTTP; after a restart the old address, until `wait_ready` has learned the new one."""
        assert self._url is not None, "wait until it is ready first"
        return self._url

    @property
    def key(self) -> str:
        """The first admin key."""
        return (self.state_dir / "admin.key").read_text().strip()

    def start(self) -> None:
        """Start it; it ends when the calling thread does. Call from the main thread."""
        assert not self.is_running, "it runs already"
        assert PROGRAM.exists(), f"{PROGRAM} is missing: install the project first (`make test` does)"
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [str(PROGRAM), "run"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent(),
            )

    async def wait_ready(self, *, within: float = 60.0) -> None:
        """Wait until it serves HTTP. DaemonEndedError when it ends instead."""
        self._url = await eventually("the daemon's `listening` line", self._listening, within=within)

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None, "start it first"
        self._process.send_signal(number)

    async def wait_ended(self, *, within: float) -> int:
        """Its exit status (negative: the signal)."""
        process = self._process
        assert process is not None, "start it first"
        with trio.move_on_after(within):
            while process.poll() is None:
                await trio.sleep(LOOK_EVERY_S)
            return process.returncode
        raise AssertionError(f"the daemon did not end within {within:g} s")

    async def stop(self, *, within: float = 20.0) -> int:
        """Stop it in order; its exit status."""
        self.signal(signal.SIGTERM)
        return await self.wait_ended(within=within)

    async def restart(self) -> None:
        """Start it and wait until it serves HTTP."""
        self.start()
        await self.wait_ready()

    def end(self) -> None:
        """End it and every process it left, whatever state they are in: for the end of a test."""
        if self._process is None:
            return
        left = descendants(self._process.pid)
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20.0)
        self._process.kill()
        self._process.wait()
        for pid in alive(left):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def family(self) -> frozenset[int]:
        """The daemon and everything below it."""
        return frozenset({self.pid}) | descendants(self.pid)

    def engines(self) -> frozenset[int]:
        """Its engine processes."""
        return frozenset(pid for pid in descendants(self.pid) if "actors.engine.process" in command_line(pid))

    def postgres(self) -> frozenset[int]:
        """The processes of its embedded server."""
        return frozenset(pid for pid in descendants(self.pid) if _is_postgres(pid))

    def lines(self) -> Iterator[dict[str, Any]]:
        """What it has logged since it was started last."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            for line in log:
                with suppress(msgspec.DecodeError):
                    yield msgspec.json.decode(line, type=dict[str, Any])

    def tail(self) -> str:
        """The last lines of its log, without those of requests with status 200."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        lines = [line for line in lines if '"event":"request"' not in line or '"status":200' not in line]
        return "\n".join(lines[-TAIL_LINES:])

    async def _listening(self) -> str | None:
        if not self.is_running:
            raise DaemonEndedError(f"the daemon ended by itself\n{self.tail()}")
        for line in self.lines():
            if line.get("event") == "listening":
                return f"http://{line['host']}:{line['port']}"
        return None


def _is_postgres(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres" and is_alive(pid)
    return False


def _end_with_parent() -> Any:
    prctl = ctypes.CDLL(None).prctl

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return before_exec
