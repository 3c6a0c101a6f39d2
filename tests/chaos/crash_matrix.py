"""kill -9 of an engine process, of the daemon, of Postgres, of all of them, at random points of a conversation."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final

import trio

from actors.engine.device.reservations import SESSION
from storage.database.pool import open_database
from tests.acceptance.peer import Peer
from tests.acceptance.traffic import Traffic, flowing
from tests.acceptance.witness import Witness, witness
from tests.chaos.checker import Checker
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.seeds import pick
from tests.support.site import Site, User

SETTINGS: Final = {
    "WASUP_SESSIONS_PER_ENGINE": "4",
    "RATE_LIMIT_MAX_REQUESTS": "100000",
    "WASUP_COMPANY_RECONNECT_MIN_S": "0.2",
    "WASUP_COMPANY_RECONNECT_MAX_S": "1",
    "WASUP_COMPANY_CIRCUIT_MIN_S": "1",
    "WASUP_COMPANY_CIRCUIT_MAX_S": "2",
    "WASUP_COMPANY_MAX_RESTARTS": "1000",
}
BACK_WITHIN_S: Final = 90.0
ARRIVED_WITHIN_S: Final = 90.0
WITH_THE_FILE_S: Final = (2.0, 0.5)
"""Before and after a kill that deletes the device files: a message that came then may have been only in them."""

KINDS: Final = (
    "engine",
    "daemon",
    "daemon, files deleted",
    "postgres",
    "engine and postgres",
    "all",
    "all, files deleted",
)


@dataclass(slots=True)
class Damage:
    """What was killed, and when the device files were deleted."""

    kills: Counter[str] = field(default_factory=Counter[str])
    files_gone_at: list[float] = field(default_factory=list[float])

    def may_be_lost(self, at: float) -> bool:
        """Whether a message that came at this time may have been only in a deleted file."""
        before, after = WITH_THE_FILE_S
        return any(gone - before < at < gone + after for gone in self.files_gone_at)


@dataclass(frozen=True, slots=True)
class Matrix:
    """One run."""

    site: Site
    api: Api
    loopback: RemoteLoopback
    listener: Peer
    talker: Peer
    companies: Sequence[User]
    random: Random
    kinds: Sequence[str] = KINDS

    async def run(self, exchanges: int, *, between: tuple[int, int]) -> Damage:
        """Kill at intervals while ``exchanges`` sends are acknowledged (and as many come back); then prove."""
        names = [user.company for user in self.companies]
        await self.api.wait_connected(*names, within=BACK_WITHIN_S)
        before, damage = await witness(self.api, self.loopback), Damage()
        kinds = list(self.kinds)
        async with flowing(self.api, self.listener, self.talker, self.companies) as traffic:
            while len(traffic.account.acknowledged) < exchanges:
                await traffic.wait_acknowledged(self.random.randint(*between), within=BACK_WITHIN_S)
                await trio.sleep(self.random.uniform(0.0, 0.2))
                if not kinds:
                    kinds = list(self.kinds)
                kind = kinds.pop(self.random.randrange(len(kinds)))  # each kind once before any repeats
                await self._kill(kind, damage)
                await self.api.wait_connected(*names, within=BACK_WITHIN_S)
        await self._prove(before, damage, traffic)
        return damage

    async def _kill(self, kind: str, damage: Damage) -> None:
        damage.kills[kind] += 1
        daemon = self.site.daemon
        print(f"crashes: {sum(damage.kills.values()):3} {kind}", flush=True)
        if kind.startswith(("daemon", "all")):
            victims = {daemon.pid} if kind.startswith("daemon") else daemon.family()
            _kill_all(victims)
            await daemon.wait_ended(within=30.0)
            if kind.endswith("deleted"):
                damage.files_gone_at.append(trio.current_time())
                await self._delete_files()
            await daemon.restart()
            return
        engine = pick(self.random, sorted(daemon.engines()) or [0])
        _kill_all([engine] if "engine" in kind and engine else [])
        _kill_all(daemon.postgres() if "postgres" in kind else [])
        await trio.sleep(0.5)

    async def _delete_files(self) -> None:
        """Once no engine process has them open any more."""
        directory = self.site.daemon.state_dir / "devices"
        await trio.sleep(1.0)  # the engines have ended with the daemon
        for file in sorted(directory.iterdir()):
            file.unlink()

    # --- the proof ---------------------------------------------------------------------------------------------------

    async def _prove(self, before: Witness, damage: Damage, traffic: Traffic) -> None:
        checker = Checker(self.site, self.api, self.loopback, self.companies, before)
        await checker.everyone_is_back()
        await self.listener.wait_received(traffic.account.acknowledged, within=ARRIVED_WITHIN_S)
        await checker.every_acknowledged_send_arrived_once(traffic, self.listener)
        await checker.nobody_was_asked_to_pair()
        await self._everything_that_came_is_told(before, damage, traffic)
        now = await witness(self.api, self.loopback)
        await now.assert_conversations_go_on(self.listener, *self.companies)
        await self._nothing_is_in_doubt()
        again = Checker(self.site, self.api, self.loopback, self.companies, await witness(self.api, self.loopback))
        await again.postgres_has_everything(self.listener)

    async def _everything_that_came_is_told(self, before: Witness, damage: Damage, traffic: Traffic) -> None:
        sent = traffic.account.sent_back
        owed = {id_ for id_, (_, at) in sent.items() if not damage.may_be_lost(at)}
        told: Counter[str] = Counter()

        async def look() -> bool:
            events = await self.api.events(before.seq, kind="message")
            told.clear()
            told.update(event["payload"]["messageId"] for event in events)
            return owed <= told.keys()

        try:
            await eventually(f"{len(owed)} messages to be told", look, within=ARRIVED_WITHIN_S)
        except AssertionError:
            missing = sorted(owed - told.keys())
            raise AssertionError(f"{len(missing)} of {len(owed)} messages are not told: {missing[:10]}") from None
        twice = sorted(id_ for id_ in owed if told[id_] > 1)
        assert twice == [], f"told twice: {twice}"
        print(
            f"crashes: {len(traffic.account.acknowledged)} sends acknowledged and arrived, {len(owed)} messages told once, "
            f"{len(sent.keys() - told.keys())} of {len(sent) - len(owed)} lost with deleted files; {dict(damage.kills)}",
            flush=True,
        )

    async def _nothing_is_in_doubt(self) -> None:
        """Postgres has recorded everything that each device file's journal has shipped, whatever the replies to its commits were.

        Only steps of sessions that Postgres has reserved may be beyond that.
        """
        async with open_database(self.site.dsn, size=1) as database:

            async def look() -> bool:
                rows = await database.fetch("SELECT company_id, file_id, position FROM whatsapp_journal")
                stored = {row["company_id"]: (row["file_id"], row["position"]) for row in rows}
                return all(self._is_stored(user, *stored[user.company]) for user in self.companies)

            await eventually("every journal to be in Postgres", look, within=ARRIVED_WITHIN_S)

    def _is_stored(self, user: User, file_id: str, position: int) -> bool:
        path = self.site.daemon.state_dir / "devices" / f"{user.company}.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
            (own_id,) = file.execute("SELECT value FROM wasup_meta WHERE name = 'file_id'").fetchone()
            (given_out,) = file.execute(
                "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'wasup_journal'"
            ).fetchone()
            beyond = file.execute("SELECT DISTINCT kind FROM wasup_journal WHERE seq > ?", (position,)).fetchall()
        return own_id == file_id and given_out >= position and set(beyond) <= {(SESSION,)}


def _kill_all(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
