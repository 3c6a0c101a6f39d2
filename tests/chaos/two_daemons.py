"""Two daemons on one database, and a record of each write, its writer, and the lease's owner at that time."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final

import httpx
import trio

from storage.database.pool import Database, open_database
from storage.embedded.server import EmbeddedPostgres
from tests.acceptance.peer import Peer, open_peers
from tests.loopback.peers import start_neonize
from tests.loopback.remote import RemoteLoopback, connect_loopback
from tests.support.api import Api, open_api
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.postgres import reachable_directory
from tests.support.seeds import fork, pick
from tests.support.site import Site, User, join_whatsapp, link_by_qr, open_site

TTL_S: Final = 4.0
TAKEN_OVER_WITHIN_S: Final = 60.0
ROLES: Final = ("daemon_a", "daemon_b")
SETTINGS: Final = {
    "RATE_LIMIT_MAX_REQUESTS": "100000",
    "WASUP_LEASE_TTL_S": str(TTL_S),
    "WASUP_LEASE_RENEW_INTERVAL_S": "0.5",
    "WASUP_COMPANY_CONFLICT_MIN_S": "0.5",
    "WASUP_COMPANY_CONFLICT_MAX_S": "1",
    "WASUP_COMPANY_CIRCUIT_MIN_S": "1",
    "WASUP_COMPANY_CIRCUIT_MAX_S": "2",
}

_HISTORY: Final = (
    "CREATE TABLE write_history"
    " (id bigint GENERATED ALWAYS AS IDENTITY, company_id text, role text, owner text, epoch bigint)",
    """CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO write_history (company_id, role, owner, epoch)
        SELECT NEW.company_id, current_user, owner, epoch FROM whatsapp_leases WHERE company_id = NEW.company_id;
        RETURN NEW;
    END $$""",
    "CREATE TRIGGER note_write AFTER UPDATE ON whatsapp_journal FOR EACH ROW EXECUTE FUNCTION note_write()",
)


@dataclass(slots=True)
class Watch:
    """What WhatsApp and the applications saw."""

    most_sockets: int = 0
    acknowledged: set[str] = field(default_factory=set[str])
    sent_back: dict[str, User] = field(default_factory=dict[str, User])
    stopped: Daemon | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """All parts of a run."""

    site: Site
    daemons: tuple[Daemon, Daemon]
    apis: tuple[Api, Api]
    loopback: RemoteLoopback
    database: Database
    listener: Peer
    talker: Peer
    companies: Sequence[User]
    watch: Watch

    async def connected(self, number: int) -> int:
        """How many companies are connected on one daemon."""
        states = await self.apis[number].states()
        return sum(states.get(user.company) == "connected" for user in self.companies)

    async def wait_connected(self, number: int) -> None:
        """Wait until all companies are connected on one daemon."""
        await self.apis[number].wait_connected(*(user.company for user in self.companies), within=TAKEN_OVER_WITHIN_S)


@asynccontextmanager
async def open_stage(companies: Sequence[User], listener: User, talker: User) -> AsyncGenerator[Stage]:
    """Both daemons run, the companies are linked and connected on the first."""
    directory = reachable_directory()
    postgres = EmbeddedPostgres(directory / "postgres")
    try:
        dsn = await postgres.start()
        async with open_database(dsn, size=3) as database:
            for role in ROLES:
                await database.execute(f"CREATE ROLE {role} SUPERUSER LOGIN")  # pyright: ignore[reportArgumentType]
            with open_site({**SETTINGS, "DATABASE_URL": _as(dsn, ROLES[0])}) as site:
                second = Daemon(
                    site.directory / "state-b",
                    {**site.daemon.environment, "DATABASE_URL": _as(dsn, ROLES[1])},
                    site.directory / "b.log",
                )
                try:
                    async with _prepared(site, second, database, companies, listener, talker) as stage:
                        yield stage
                except BaseException:
                    print(site.daemon.tail(), second.tail(), sep="\n--- the second daemon:\n")
                    raise
                finally:
                    for daemon in (site.daemon, second):
                        if daemon.is_running:
                            daemon.signal(signal.SIGCONT)
                    second.end()
    finally:
        await postgres.stop()
        shutil.rmtree(directory)


def _as(dsn: str, role: str) -> str:
    scheme, _, rest = dsn.partition("://")
    return f"{scheme}://{role}@{rest.partition('@')[2]}"


@asynccontextmanager
async def _prepared(
    site: Site, second: Daemon, database: Database, companies: Sequence[User], listener: User, talker: User
) -> AsyncGenerator[Stage]:
    site.daemon.start()
    await site.daemon.wait_ready()
    for statement in _HISTORY:
        await database.execute(statement)
    async with (
        connect_loopback(site.endpoints) as loopback,
        open_api(site.daemon) as first_api,
        open_api(second) as second_api,
    ):
        await join_whatsapp(loopback, [*companies, listener, talker])
        for user in companies:
            await link_by_qr(first_api, loopback, user)
        second.start()
        await second.wait_ready()
        shutil.copy(site.daemon.state_dir / "admin.key", second.state_dir)  # the first to start has made it, for both
        async with open_peers(start_neonize, (listener, talker), site, loopback) as peers:
            both = (peers[0], peers[1])
            daemons, apis = (site.daemon, second), (first_api, second_api)
            yield Stage(site, daemons, apis, loopback, database, *both, companies, Watch())


# --- what goes on ----------------------------------------------------------------------------------------------------


async def keep_watch(stage: Stage) -> None:
    """Count the sockets of each company, for ever."""
    while True:
        for device in await stage.loopback.devices():
            stage.watch.most_sockets = max(stage.watch.most_sockets, device.sockets)
        await trio.sleep(0.03)


async def talk(stage: Stage, until: trio.Event) -> None:
    """Send texts in both directions, through either running daemon."""
    number = 0
    while not until.is_set():
        number += 1
        company = stage.companies[number % len(stage.companies)]
        await stage.talker.wait_repeatable()
        message_id = await stage.talker.send(company, f"back {number}")
        stage.watch.sent_back[message_id] = company
        for daemon, api in zip(stage.daemons, stage.apis, strict=True):
            if stage.watch.stopped is not daemon:
                await _try_send(stage, daemon, api, company, number)
        await trio.sleep(0.1)


async def _try_send(stage: Stage, daemon: Daemon, api: Api, company: User, number: int) -> None:
    with trio.move_on_after(3.0):
        answer = await api.try_send(company.company, stage.listener.user.phone, f"there {number}")
        if answer.status_code == httpx.codes.OK:
            stage.watch.acknowledged.add(str(answer.json()["messageId"]))


async def stop_for_longer_than_the_lease(stage: Stage, random: Random) -> int:
    """SIGSTOP a daemon that has companies, until the other one has them all; return the number of the stopped one."""
    random = fork(random)

    async def owner() -> int | None:
        found = [number for number in (0, 1) if await stage.connected(number)]
        return 1 + pick(random, found) if found else None

    victim = await eventually("a daemon to have companies", owner, within=TAKEN_OVER_WITHIN_S) - 1
    daemon = stage.daemons[victim]
    stage.watch.stopped = daemon
    began = time.monotonic()
    daemon.signal(signal.SIGSTOP)
    try:
        await stage.wait_connected(1 - victim)
        await trio.sleep(max(0.0, began + TTL_S + random.uniform(0.5, 1.5) - time.monotonic()))
    finally:
        daemon.signal(signal.SIGCONT)
        stage.watch.stopped = None
    await trio.sleep(random.uniform(0.2, 2.0))
    return victim


# --- what must hold --------------------------------------------------------------------------------------------------


async def stale_writes(stage: Stage) -> list[str]:
    """Writes that came after a newer owner's, or from another than the lease's owner."""
    rows = await stage.database.fetch("SELECT company_id, role, owner, epoch FROM write_history ORDER BY id")
    newest: dict[str, int] = {}
    writer: dict[tuple[str, int], str] = {}
    installation: dict[str, str] = {}
    stale: list[str] = []
    for row in rows:
        company, role, epoch = row["company_id"], row["role"], row["epoch"]
        home = str(row["owner"]).partition("/")[0]
        if (
            epoch < newest.get(company, 0)
            or writer.setdefault((company, epoch), role) != role
            or installation.setdefault(home, role) != role
        ):
            stale.append(f"{company}: {role} with epoch {epoch}")
        newest[company] = max(epoch, newest.get(company, 0))
    assert rows, "nothing was written"
    return stale


async def everybody_hands_over(stage: Stage) -> None:
    """Each daemon has every company once more, so that events it still holds are published."""
    for number in (0, 1):
        await stage.daemons[1 - number].stop(within=60.0)
        await stage.wait_connected(number)
        await stage.daemons[1 - number].restart()


async def messages_told(stage: Stage) -> dict[str, int]:
    """How often each message is in the event log."""
    rows = await stage.database.fetch(
        "SELECT payload->>'messageId' AS id, count(*) AS times FROM whatsapp_events WHERE type = 'message' GROUP BY 1"
    )
    return {row["id"]: row["times"] for row in rows}
