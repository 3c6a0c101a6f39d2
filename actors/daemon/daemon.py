"""`wasup run`: what surrounds the tree: the runtime directory, the database pool, signals, the exit status."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import tempfile
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn, final

import structlog
import trio
from prometheus_client import CollectorRegistry, ProcessCollector

from actors.daemon.blocking import log_blocking
from actors.daemon.boot import write_private
from actors.daemon.gc_tuning import frozen, passing_over_survivors
from actors.daemon.lifecycle import LifecycleObserver
from actors.daemon.live_settings import LiveSettings
from actors.daemon.metrics import Metrics
from actors.daemon.notify import ServiceManager
from actors.daemon.outputs import Outputs
from actors.daemon.reloading import Reloader
from actors.daemon.signals import Signals
from actors.daemon.stopping import Stopper, ending_within, leave_at_once
from actors.disk.state import DiskState
from actors.engine_pool.checking import EngineUnusable, check_engine
from actors.messages import GetHttpAddress
from actors.root import Parts, api_socket, build_tree, direct_url
from actors.versions.state import VersionState
from config.fields import environment_for_children
from config.postgres_url import read
from config.settings import Settings
from config.state import Running, announce
from storage.crypto.sealing import Vault
from storage.database.pool import open_database
from storage.embedded.server import EmbeddedPostgres
from storage.errors import MasterKeyError
from supervisor import ExitReason, System, open_system
from supervisor.errors import ActorCrashed, ActorStopped, StartFailed

SOCKET_DIR_MOST_BYTES = 70
"""Unix socket paths take 107 bytes; the longest name in the runtime directory has about 30."""
MACHINE_ID = Path("/etc/machine-id")


@final
class EngineCheck:
    """Loads, during the start, what an engine process loads: a daemon that could connect no company must not report that it is ready."""

    def __init__(self) -> None:
        self._done = trio.Event()
        self._unusable: EngineUnusable | None = None

    async def run(self) -> None:
        """Check once."""
        try:
            await trio.to_thread.run_sync(check_engine, environment_for_children(os.environ), abandon_on_cancel=True)
        except EngineUnusable as error:
            self._unusable = error
        self._done.set()

    async def result(self) -> EngineUnusable | None:
        """Return why engine processes cannot start, None when they can; wait for the check to end."""
        await self._done.wait()
        return self._unusable


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What belongs to the process and not to the tree."""

    signals: Signals
    outputs: Outputs
    config_file: Path | None = None
    """What a reload reads, as `config.load.load` takes it."""


async def serve(settings: Settings, process: Process) -> int:
    """Run the daemon; return 0 after a signal to stop, 1 when it cannot go on. The caller holds the state directory (config.state)."""
    log = structlog.get_logger("wasup")
    with _runtime_dir(settings.state_dir) as runtime_dir:
        settings.devices_dir.mkdir(mode=0o700, exist_ok=True)
        embedded = None
        if settings.database_url is None:
            embedded = EmbeddedPostgres(
                settings.postgres_dir,
                user=settings.postgres_account,
                start_timeout_s=settings.storage.postgres_start_timeout_s,
                stop_timeout_s=settings.storage.postgres_stop_timeout_s,
            )
            dsn = read(embedded.dsn)
        else:
            dsn = read(settings.database_url.reveal(), os.environ)
        storage = settings.storage
        try:
            vault = Vault.of_file(settings.master_key_file)
        except MasterKeyError as error:
            return _not_started(error, process.outputs, log)
        async with open_database(
            dsn,
            size=storage.pool_connections,
            acquire_timeout_s=storage.acquire_timeout_s,
            command_timeout_s=storage.command_timeout_s,
            vault=vault,
            pooler="none" if embedded else storage.pooler,
            direct=direct_url(settings),
        ) as database:
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
            metrics = Metrics(registry)
            metrics.set_source("log", process.outputs.samples)
            parts = Parts(
                settings=settings,
                database=database,
                metrics=metrics,
                owner=f"{_installation(settings.state_dir)}/{_host()}-{secrets.token_hex(4)}",
                runtime_dir=runtime_dir,
                embedded=embedded,
                connect_gate=trio.CapacityLimiter(settings.start_concurrency),
                disk=DiskState(),
                versions=VersionState(settings.whatsapp.version, time.time),
                live=LiveSettings(settings),
                manager=ServiceManager.of_environment(os.environ, os.getpid()),
            )
            try:
                with passing_over_survivors():
                    return await _run_tree(parts, process, log)
            except (StartFailed, EngineUnusable) as error:
                return _not_started(error, process.outputs, log)


def _not_started(error: Exception, outputs: Outputs, log: structlog.BoundLogger) -> int:
    log.error("not_started", reason=str(error))
    outputs.tell(f"wasup: could not start: {error}")
    return 1


async def _run_tree(parts: Parts, process: Process, log: structlog.BoundLogger) -> int:
    # Entered before the tree is up, so that it can be stopped while it waits for a database that is away.
    async with open_system(build_tree(parts), wait_started=False) as system:
        with ending_within(parts.settings.stop_timeout_s):
            reason = await _attend(system, parts, process, log)
    log.info("stopped", reason=str(reason))
    return 0 if reason.is_expected else 1


async def _attend(system: System, parts: Parts, process: Process, log: structlog.BoundLogger) -> ExitReason:
    """Run what goes on beside the tree until it ends, and return why it did. Raises StartFailed and EngineUnusable."""
    manager = parts.manager
    async with trio.open_nursery() as nursery:
        observer = LifecycleObserver(
            events=system.ref("/events"), directory=system.ref("/directory"), metrics=parts.metrics
        )
        system.subscribe(observer)
        stopper = Stopper(system, process.signals, within_s=parts.settings.stop_timeout_s, manager=manager)
        reloader = Reloader(
            system,
            parts.live,
            config_file=process.config_file,
            connect_gate=parts.connect_gate,
            manager=manager,
            configure_log=process.outputs.configure_log,
            signals=process.signals,
        )
        nursery.start_soon(stopper.run, partial(_leave, process.outputs))
        engine = EngineCheck()
        nursery.start_soon(engine.run)
        failure = await _come_up(system, parts, process.outputs, stopper, engine, log)
        if failure is None:
            nursery.start_soon(reloader.run)
        # Only once started: a start makes the routes and loads libraries, which takes long but delays no request.
        with frozen(), log_blocking(parts.settings.log.blocked_after_s):
            reason = await system.wait_terminated()
        nursery.cancel_scope.cancel()
    if failure is not None and not stopper.has_begun:
        raise failure
    return reason


async def _come_up(
    system: System, parts: Parts, outputs: Outputs, stopper: Stopper, engine: EngineCheck, log: structlog.BoundLogger
) -> StartFailed | EngineUnusable | None:
    """Wait for the tree and announce it. Return why it could not start or be used, which may be that it was stopped meanwhile."""
    try:
        await system.wait_started()
    except StartFailed as error:
        return error
    if (unusable := await engine.result()) is not None and not stopper.has_begun:
        await system.stop()
        return unusable
    try:
        await _announce(system, parts, outputs, log)
    except (ActorStopped, ActorCrashed):
        if not stopper.has_begun:
            raise
    return None


def _leave(outputs: Outputs) -> NoReturn:
    outputs.close()
    leave_at_once()


async def _announce(system: System, parts: Parts, outputs: Outputs, log: structlog.BoundLogger) -> None:
    """Announce where the daemon is: in the log, to the command line (daemon.json), the service manager, and on standard error."""
    settings = parts.settings
    host, port = await system.ref("/http").ask(GetHttpAddress())
    scheme = "https" if settings.http.tls_certificate_file else "http"
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    announce(
        settings.state_dir,
        Running(pid=os.getpid(), url=url, socket=_seen_from(settings.state_dir, api_socket(parts.runtime_dir))),
    )
    parts.manager.ready(f"serving {url}")
    log.info("started", url=url, admin_key_file=str(settings.admin_key_file))
    outputs.tell(f"wasup is running\n  dashboard  {url}/\n  admin key  {settings.admin_key_file}")


@contextmanager
def _runtime_dir(state_dir: Path) -> Generator[Path, None, None]:
    """Yield a private directory with a short path for the engines' sockets: in the state directory, or in the temporary one."""
    wanted = state_dir / "run"
    if len(os.fsencode(wanted)) <= SOCKET_DIR_MOST_BYTES:
        shutil.rmtree(wanted, ignore_errors=True)  # ours alone: we hold the lock
        wanted.mkdir(mode=0o700)
        path = wanted
    else:
        path = Path(tempfile.mkdtemp(prefix="wasup-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _seen_from(state_dir: Path, path: Path) -> str:
    """Return the path relative to the state directory if it lies there: another container may see that directory at another place."""
    return str(path.relative_to(state_dir) if path.is_relative_to(state_dir) else path)


def _installation(state_dir: Path) -> str:
    """Return the name of this state directory on this machine. Its lock admits one daemon at a time, so the next boot may take over the
    leases of the last one at once. A copy of the directory on another machine is another installation."""
    file = state_dir / "installation"
    if not file.exists():
        write_private(file, uuid.uuid4().hex + "\n")
    machine = MACHINE_ID.read_bytes() if MACHINE_ID.exists() else os.uname().nodename.encode()
    return hashlib.sha256(file.read_bytes() + machine).hexdigest()[:16]


def _host() -> str:
    """Return the machine's name, which tells people who owns a company. Two daemons may have the same."""
    return re.sub(r"[^A-Za-z0-9.-]", "", os.uname().nodename)[:63] or "unnamed"
