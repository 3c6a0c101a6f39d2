"""An engine process as an actor, which spawns and watches it, ends with it, and ends it when stopped."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import structlog
import trio

from actors.daemon.exceptions import first_leaf
from actors.daemon.metrics import EngineFigures, Metrics
from actors.engine.protocol import messages as protocol
from actors.engine_pool.control import ControlLink, ControlLost, open_control
from actors.engine_pool.output import forward_output
from actors.engine_pool.slots import hosts_of
from actors.engine_pool.wear import wear_of
from actors.messages import EngineReady, EngineWear, WaitReady
from actors.versions.state import VersionState
from config.sections import EngineSettings
from supervisor import Actor, ActorRef, ReplyTo, Request
from supervisor.errors import SupervisorError

STATISTICS_TIMEOUT_S = 8.0
"""A process that does not answer within this time is stuck (or stopped) and is killed."""

EXIT_AFTER_LOSS_S = 0.2

GO_GARBAGE_PERCENT: Final = "50"
"""The value of GOGC: how much garbage Go allows, in per cent of the memory in use, before it collects. Go's 100 costs memory for each
company and saves hardly any time. Go reads it only when the process starts; a value that the operator has set stays."""


class EngineDied(Exception):
    """The engine process ended by itself, or was killed because it did not answer."""


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What the process last reported of itself."""

    pid: int
    companies: tuple[str, ...]
    rss_bytes: int
    threads: int
    stale_clients: int
    version: str = ""
    """The version of WhatsApp Web that its clients announce."""


@dataclass(frozen=True, slots=True)
class GetEngineReport(Request[EngineReport]):
    """Ask the process for a report. An engine that does not answer is killed: the caller gets `ActorCrashed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCommand:
    """How to start an engine process."""

    runtime_dir: Path
    """Directory of mode 0700 for its socket; its path is short (Unix sockets take 107 bytes)."""
    device_dir: Path
    environment: Mapping[str, str]
    max_companies: int
    versions: VersionState
    module: str = "actors.engine.process"
    """The module to run: an engine, or a linker, which is started, queried and ended in the same way."""

    def build(self, socket: Path, version: str) -> list[str]:
        """Return the argument vector."""
        return [
            sys.executable, "-m", self.module,
            "--socket", str(socket), "--devices", str(self.device_dir),
            "--max-companies", str(self.max_companies), "--parent", str(os.getpid()), "--whatsapp-version", version,
        ]  # fmt: skip


@final
class EngineActor(Actor):
    """One engine process. Started means that it accepts connections; when it dies, this actor crashes.

    The actor's name says what the process hosts (`actors.engine_pool.slots.hosts_of`); ``placement`` hears at each report whether
    the process is worn.
    """

    def __init__(
        self, command: EngineCommand, settings: EngineSettings, metrics: Metrics, placement: ActorRef | None = None
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._placement = placement
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._control: ControlLink | None = None
        self._socket = Path()
        self._version = ""
        """The version that its clients announce."""
        self._asking: list[ReplyTo[Any]] = []
        self._asked = trio.Event()
        self._log = structlog.get_logger("wasup.engine")

    async def started(self) -> None:
        name = f"{self.context.name}-{self.context.incarnation}.sock"
        self._socket = self._command.runtime_dir / name
        ready = trio.Event()
        self.context.spawn(self._own_process, ready, name="process")
        await ready.wait()

    async def receive(self, message: Any) -> Any:
        match message:
            case WaitReady():
                return EngineReady(str(self._socket), self._version)
            case GetEngineReport():
                self._asking.append(self.context.defer())
                self._asked.set()
                return None
            case _:
                raise TypeError(f"an engine actor does not understand {type(message).__name__}")

    async def stopping(self, reason: object) -> None:
        """Ask the process to close every client and end; `_own_process` kills it if it does not."""
        if self._control is None or self._process is None:
            return
        with trio.move_on_after(self._settings.stop_timeout_s):
            try:
                await self._control.tell(protocol.EngineShutdown())
                await _wait_exit(self._process)
            except ControlLost:
                return

    async def _own_process(self, ready: trio.Event) -> None:
        """Spawn the process and serve it; in every case, no process is left when this ends."""
        self._socket.unlink(missing_ok=True)
        self._version = self._command.versions.current.text
        # From the main thread: PR_SET_PDEATHSIG fires when the thread that spawned the child ends.
        process = self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - see above; the arguments are our own
            self._command.build(self._socket, self._version),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"GOGC": GO_GARBAGE_PERCENT, **self._command.environment},
            process_group=0,  # a Ctrl-C at the terminal is the daemon's to handle: it still has to write what engines ship
        )
        try:
            raise EngineDied(await self._serve_until_it_ends(process, ready))
        finally:
            self._metrics.engine_gone(self.context.name)
            _end(process)
            self._socket.unlink(missing_ok=True)

    async def _serve_until_it_ends(self, process: subprocess.Popen[bytes], ready: trio.Event) -> str:
        """Return why the process ended. (Some versions of Python put an exception raised inside ``except*`` into a group again.)"""
        cause: BaseException = EngineDied("the engine process was left")
        try:
            await self._serve(process, ready)
        except* (ControlLost, EngineDied) as group:
            cause = first_leaf(group)
        return await _why(process, cause)

    async def _serve(self, process: subprocess.Popen[bytes], ready: trio.Event) -> None:
        async with trio.open_nursery() as nursery:
            log = self._log.bind(engine=self.context.path, pid=process.pid)
            nursery.start_soon(
                partial(
                    forward_output,
                    process,
                    log,
                    max_line_bytes=self._settings.max_log_line_bytes,
                    count_lost=self._metrics.engine_lines_lost,
                )
            )
            nursery.start_soon(self._watch, process)
            async with open_control(str(self._socket), timeout_s=self._settings.start_timeout_s) as control:
                self._control = control
                self._note_version(control.hello)
                log.info("engine_ready", neonize=control.hello.neonize, version=self._version)
                ready.set()
                while True:
                    await self._look(process.pid, control)
                    with trio.move_on_after(self._settings.statistics_interval_s):
                        await self._asked.wait()

    def _note_version(self, hello: protocol.EngineHello) -> None:
        self._version = hello.whatsapp_version or self._version
        if hello.version_fault:
            self._log.error("whatsapp_version_not_written", reason=hello.version_fault, version=self._version)
            self._command.versions.cannot_change(hello.version_fault)

    async def _look(self, pid: int, control: ControlLink) -> None:
        """Have the process report; reply to the callers that asked before."""
        self._asked = trio.Event()
        asking, self._asking = self._asking, []
        said = await control.statistics(timeout_s=STATISTICS_TIMEOUT_S)
        self._metrics.engine_reported(
            EngineFigures(
                engine=self.context.name,
                pid=pid,
                companies=len(said.companies),
                rss_bytes=said.rss_bytes,
                threads=said.threads,
                descriptors=said.descriptors,
                stale_clients=said.stale_clients,
            )
        )
        for reply in asking:
            reply.reply(
                EngineReport(pid, said.companies, said.rss_bytes, said.threads, said.stale_clients, self._version)
            )
        self._report_wear(said)

    def _report_wear(self, said: protocol.EngineStatistics) -> None:
        wear = wear_of(said, hosts_of(self.context.name), self._settings)
        if wear.is_exhausted:
            self._log.warning("engine_retired", engine=self.context.path, connected=len(said.companies))
            self.context.stop()  # in order; the supervisor starts a fresh process
        elif self._placement is not None:
            with contextlib.suppress(SupervisorError):  # full or being restarted: the next report repeats it
                self._placement.tell(EngineWear(self.context.name, wear.is_worn))

    async def _watch(self, process: subprocess.Popen[bytes]) -> None:
        raise EngineDied(f"the engine process ended with status {await _wait_exit(process)}")


async def _why(process: subprocess.Popen[bytes], error: BaseException) -> str:
    """Return why the connection was lost: the exit status if the process ends soon, since it says more than ``error``."""
    with trio.move_on_after(EXIT_AFTER_LOSS_S):
        return f"the engine process ended with status {await _wait_exit(process)}"
    return str(error)


async def _wait_exit(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is not None:  # another waiter has reaped it: the process no longer exists
        return process.returncode
    descriptor = os.pidfd_open(process.pid)
    try:
        while process.poll() is None:
            await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)
    return process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill and reap the process; SIGKILL ends even a stopped process at once, so this does not wait long."""
    if process.poll() is None:
        process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()
