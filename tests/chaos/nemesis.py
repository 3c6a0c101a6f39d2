"""Faults, drawn by a seed: what a nemesis does to a daemon, to its dependencies and to its peers.

Each fault ends by itself, within seconds, and does not hinder the daemon for longer than its own back-off.
"""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final, LiteralString

import trio

from storage.database.connection import Connection
from storage.database.pool import open_database
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.seeds import fork, pick
from tests.support.site import Site, User
from tests.support.tree import nodes

PAUSE_S: Final = (0.2, 1.5)
"""Between two faults: some hit a daemon that has not recovered from the one before."""
GARBAGE: Final = b"GET / HTTP/1.1\r\nHost: \xff\xff\r\n\r\n" + bytes(range(256)) * 8


@dataclass(frozen=True, slots=True)
class Stage:
    """What the faults can act on."""

    site: Site
    api: Api
    loopback: RemoteLoopback
    companies: tuple[User, ...]
    random: Random


Deed = Callable[[Stage], Awaitable[str]]
"""Cause the fault; return what it hit."""


@dataclass(slots=True)
class History:
    """The faults so far, in order; only appended to."""

    faults: list[tuple[float, str, str]] = field(default_factory=list[tuple[float, str, str]])

    def note(self, name: str, target: str) -> None:
        """Append one."""
        self.faults.append((trio.current_time(), name, target))
        print(f"chaos: {len(self.faults):3} {name} {target}", flush=True)


async def chaos_run(stage: Stage, history: History, *, faults: int, names: Iterable[str] | None = None) -> None:
    """Cause that many faults; the stage's seed alone decides which and when, whatever they find."""
    chosen = sorted(names or FAULTS)
    for _ in range(faults):
        name, own, pause_s = pick(stage.random, chosen), fork(stage.random), stage.random.uniform(*PAUSE_S)
        history.note(name, await FAULTS[name](dataclasses.replace(stage, random=own)))
        await trio.sleep(pause_s)


# --- actors -----------------------------------------------------------------------------------------------------------


async def kill_actor(stage: Stage) -> str:
    return await _administer(stage, "kill", supervisors=True)


async def restart_actor(stage: Stage) -> str:
    return await _administer(stage, "restart", supervisors=False)


async def suspend_actor(stage: Stage) -> str:
    """Suspend it for a second; an HTTP actor would stay so for ever, because the request for its end could not arrive."""
    path = await _administer(stage, "suspend", supervisors=False, spare=("/http",))
    await trio.sleep(1.0)
    await stage.api.try_post(f"/admin/actors{path}/resume")
    return path


async def _administer(stage: Stage, action: str, *, supervisors: bool, spare: tuple[str, ...] = ()) -> str:
    answer = await stage.api.try_get("/admin/tree")
    if answer.status_code != 200:
        return "(nobody answers)"
    victims = [node for node in nodes(answer.json()["tree"]) if node["path"] not in ("/", "/boot", *spare)]
    paths = sorted(node["path"] for node in victims if supervisors or not node["children"])
    path: str = pick(stage.random, [path for path in paths if supervisors or path not in ("/engines", "/companies")])
    await stage.api.try_post(f"/admin/actors{path}/{action}")
    return path


# --- processes --------------------------------------------------------------------------------------------------------


async def kill_engine(stage: Stage) -> str:
    return await _signal(stage, stage.site.daemon.engines(), signal.SIGKILL)


async def stop_engine(stage: Stage) -> str:
    """It is not continued: the daemon has to notice, kill and replace it."""
    return await _signal(stage, stage.site.daemon.engines(), signal.SIGSTOP)


async def garble_engine(stage: Stage) -> str:
    """Send garbage to the engines' sockets."""
    sockets = sorted(
        path for path in stage.site.daemon.state_dir.rglob("*") if path.is_socket() and "run" in path.parts
    )
    if not sockets:
        return "(none)"
    path = pick(stage.random, sockets)
    with suppress(OSError, trio.BrokenResourceError):
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(GARBAGE)
            with trio.move_on_after(0.5):
                await stream.receive_some(100)
    return path.name


async def kill_daemon(stage: Stage) -> str:
    """Kill it and start it again, as systemd does."""
    stage.site.daemon.signal(signal.SIGKILL)
    await stage.site.daemon.wait_ended(within=30.0)
    await stage.site.daemon.restart()
    return "SIGKILL"


async def restart_daemon(stage: Stage) -> str:
    status = await stage.site.daemon.stop(within=45.0)
    await stage.site.daemon.restart()
    return f"SIGTERM, status {status}"


async def hang_daemon(stage: Stage) -> str:
    stage.site.daemon.signal(signal.SIGSTOP)
    await trio.sleep(2.0)
    stage.site.daemon.signal(signal.SIGCONT)
    return "2 s"


async def _signal(stage: Stage, pids: Iterable[int], number: signal.Signals) -> str:
    choice = sorted(pids)
    if not choice:
        return "(none)"
    with suppress(ProcessLookupError):
        os.kill(pick(stage.random, choice), number)
    await trio.lowlevel.checkpoint()
    return number.name


# --- Postgres ---------------------------------------------------------------------------------------------------------


async def kill_postgres(stage: Stage) -> str:
    for pid in stage.site.daemon.postgres():
        with suppress(ProcessLookupError):  # a process whose postmaster is gone ends by itself
            os.kill(pid, signal.SIGKILL)
    await trio.lowlevel.checkpoint()
    return "SIGKILL"


async def hang_postgres(stage: Stage) -> str:
    pids = stage.site.daemon.postgres()
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if number is signal.SIGSTOP:
            await trio.sleep(3.0)
    return "3 s"


async def terminate_backends(stage: Stage) -> str:
    others: LiteralString = "pid <> pg_backend_pid() AND usename IS NOT NULL"
    query: LiteralString = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE " + others
    return f"{await _query(stage, query)} of them"


async def lock_table(stage: Stage) -> str:
    await _query(stage, "LOCK TABLE whatsapp_keys IN ACCESS EXCLUSIVE MODE", "SELECT pg_sleep(2)")
    return "whatsapp_keys, 2 s"


async def _query(stage: Stage, *queries: LiteralString) -> object:
    """Run in one transaction; None when Postgres is away already."""
    result: object = None
    with suppress(Exception):
        async with open_database(stage.site.dsn, size=1, acquire_timeout_s=2.0, command_timeout_s=10.0) as database:
            result = await database.write(_fetch_each, queries)
    return result


async def _fetch_each(connection: Connection, queries: tuple[LiteralString, ...]) -> object:
    found: object = None
    for query in queries:
        found = await connection.fetchval(query)
    return found


# --- WhatsApp ---------------------------------------------------------------------------------------------------------


async def drop_everyone(stage: Stage) -> str:
    """Drop every company; not the clients outside wasup, whose own sends would fail with them."""
    for user in stage.companies:
        await stage.loopback.fault("drop", phone=user.phone)
    return "all"


async def drop_one(stage: Stage) -> str:
    user = pick(stage.random, stage.companies)
    await stage.loopback.fault("drop", phone=user.phone)
    return user.company


async def half_open(stage: Stage) -> str:
    """No data passes for three seconds, and no connection ends."""
    user = pick(stage.random, stage.companies)
    await stage.loopback.fault("freeze", phone=user.phone)
    await trio.sleep(3.0)
    await stage.loopback.fault("thaw", phone=user.phone)
    return user.company


async def refuse_logins(stage: Stage) -> str:
    """503 for the next three log-ins, then every client has to log in."""
    await stage.loopback.fault("refuse", code=503, times=3)
    return await drop_everyone(stage)


async def stream_error(stage: Stage) -> str:
    user, code = pick(stage.random, stage.companies), pick(stage.random, (503, 515))
    await stage.loopback.fault("stream_error", code=code, phone=user.phone)
    return f"{code} for {user.company}"


async def replace(stage: Stage) -> str:
    user = pick(stage.random, stage.companies)
    await stage.loopback.fault("replace", phone=user.phone)
    return user.company


async def ban(stage: Stage) -> str:
    """For two seconds."""
    user = pick(stage.random, stage.companies)
    await stage.loopback.fault("ban", phone=user.phone, expires_in_s=2)
    await trio.sleep(1.0)
    await stage.loopback.fault("accept")
    return user.company


async def hold_acks(stage: Stage) -> str:
    """WhatsApp accepts messages without an acknowledgement, for two seconds."""
    for user in stage.companies:
        await stage.loopback.fault("hold", tag="ack", phone=user.phone)
    await trio.sleep(2.0)
    await stage.loopback.fault("release")
    return "all"


FAULTS: Final[dict[str, Deed]] = {
    deed.__name__: deed
    for deed in (
        kill_actor, restart_actor, suspend_actor, kill_engine, stop_engine, garble_engine, kill_daemon, restart_daemon,
        hang_daemon, kill_postgres, hang_postgres, terminate_backends, lock_table, drop_everyone, drop_one, half_open,
        refuse_logins, stream_error, replace, ban, hold_acks,
    )
}  # fmt: skip
"""By their names."""
