"""The storage actor against a real Postgres, and with one that goes away."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trio

from actors.daemon.metric_types import Sample
from actors.messages import Event, Refused
from actors.storage.actor import StorageActor
from actors.storage.requests import (
    AppendEvents,
    ArchiveAuth,
    CheckWritable,
    ClaimCompany,
    CommitDelta,
    KeepMedia,
    ReleaseLease,
    RenewLeases,
)
from config.sections import StorageSettings
from storage.database.asyncpg_pool import PoolStatistics
from storage.database.pool import Database, open_database
from storage.errors import StorageFull, StorageUnavailable
from storage.tables import auth_state, companies, events, media
from storage.tables.auth_state import Delta, KeyChange
from storage.tables.events import NewEvent
from storage.tables.leases import Lease
from storage.tables.media import NewMedia
from supervisor import ActorRef, ChildSpec, SupervisorSpec, open_system
from tests.support.held_write import HeldWrite, waiting_for_a_lock
from tests.support.master_keys import vault
from tests.support.waiting import wait_until

COMPANY = "962302"


class CountingMetrics:
    def __init__(self) -> None:
        self.commits: list[int] = []
        self.sources: dict[str, Callable[[], Iterable[Sample]]] = {}

    def committed(self, seconds: float, keys: int) -> None:
        self.commits.append(keys)

    def set_source(self, name: str, source: Callable[[], Iterable[Sample]]) -> None:
        self.sources[name] = source


def samples(metrics: CountingMetrics) -> dict[str, float]:
    """What the storage actor shows at a scrape."""
    return {sample.name: sample.value for sample in metrics.sources["storage"]()}


class FlakyDatabase:
    """A real database with a switch."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.away: StorageUnavailable | None = None
        self.at_once = 0
        """Calls outside a transaction."""
        self.transactions = 0

    async def write_unless_locked(self, lock_timeout_s: float, fn: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        if self.away:
            raise self.away
        self.transactions += 1
        return await self._database.write_unless_locked(lock_timeout_s, fn, *args)

    async def write_single_statement(self, fn: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        if self.away:
            raise self.away
        self.at_once += 1
        return await self._database.write_single_statement(fn, *args)

    def statistics(self) -> PoolStatistics:
        return self._database.statistics()


class HeldDatabase:
    """A real database whose next write can be held up before it begins."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.entered, self.released = trio.Event(), trio.Event()
        self.released.set()

    def hold(self) -> None:
        """From the next write on, until ``released`` is set."""
        self.entered, self.released = trio.Event(), trio.Event()

    async def write_unless_locked(self, lock_timeout_s: float, fn: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        self.entered.set()
        await self.released.wait()
        return await self._database.write_unless_locked(lock_timeout_s, fn, *args)

    def statistics(self) -> PoolStatistics:
        return self._database.statistics()


@asynccontextmanager
async def storage_actor(
    database: Any, *, owner: str = "here/1", metrics: CountingMetrics | None = None, **settings: Any
) -> AsyncIterator[ActorRef]:
    def make(_: Any) -> StorageActor:
        return StorageActor(
            cast("Database", database),
            settings=StorageSettings(**settings),
            owner=owner,
            lease_ttl_s=60.0,
            metrics=metrics or CountingMetrics(),
        )

    async with open_system(SupervisorSpec([ChildSpec(id="storage", start=make)])) as system:
        yield system.ref("/storage")


def delta(lease: Lease, position: int, key: str = "a", *, base: bool = False) -> Delta:
    change = KeyChange("session", key, b'{"position": %d}' % position)
    return Delta(lease.company_id, lease.owner, lease.epoch, "file-1", position, b"{}", (change,), base)


def event() -> Event:
    return Event(id=str(uuid.uuid4()), type="status", company_id=COMPANY, timestamp=1.0, payload=msgspec.Raw(b"{}"))


async def test_an_answered_delta_is_in_postgres(database: Database) -> None:
    """The reply comes after the commit."""
    async with storage_actor(database) as storage:
        lease = await storage.ask(ClaimCompany(COMPANY, "running"))
        await storage.ask(CommitDelta(delta(lease, 1, base=True)))

        state = await auth_state.load(database, COMPANY)
        assert (state.position, state.file_id, state.creds) == (1, "file-1", b"{}")


async def test_a_delta_like_those_before_it_is_a_single_statement(database: Database) -> None:
    """As for every send. The first deltas of a file are not, nor is one that another request waits beside."""
    counting = FlakyDatabase(database)
    async with storage_actor(counting) as storage:
        lease = await storage.ask(ClaimCompany(COMPANY, "running"))
        await storage.ask(CommitDelta(delta(lease, 1, base=True)))
        before = counting.at_once
        await storage.ask(CommitDelta(msgspec.structs.replace(delta(lease, 2), creds=None)))

        assert (before, counting.at_once) == (0, 1)
        assert (await auth_state.load(database, COMPANY)).position == 2


async def test_events_are_a_single_statement(database: Database) -> None:
    """New ones are; for ones that are stored already the seq is looked up."""
    counting = FlakyDatabase(database)
    one, two = event(), event()
    async with storage_actor(counting) as storage:
        first = await storage.ask(AppendEvents((one,)))
        new = (counting.transactions, counting.at_once)
        again = await storage.ask(AppendEvents((two, one)))

    assert (first, again) == ((1,), (2, 1))
    assert (new, counting.transactions) == ((0, 1), 1)


async def test_deltas_and_events_that_wait_together_are_a_statement_each(database: Database) -> None:
    """One call of the database for both, and each gets its own reply."""
    counting = FlakyDatabase(database)
    answers: dict[str, Any] = {}
    async with storage_actor(counting) as storage:
        lease = await storage.ask(ClaimCompany(COMPANY, "running"))
        await storage.ask(CommitDelta(delta(lease, 1, base=True)))
        before = counting.transactions

        async def ask(name: str, request: Any) -> None:
            answers[name] = await storage.ask(request)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "events", AppendEvents((event(), event())))
            nursery.start_soon(ask, "delta", CommitDelta(msgspec.structs.replace(delta(lease, 2), creds=None)))

    assert answers == {"events": (1, 2), "delta": None}
    assert (counting.at_once, counting.transactions) == (1, before)
    assert (await auth_state.load(database, COMPANY)).position == 2


async def test_an_event_that_another_writer_stores_in_the_same_moment_has_one_seq(database: Database) -> None:
    """A commit in doubt that lands while it is being repeated: both get the same reply."""
    one = event()
    held = HeldWrite(events.append, [NewEvent(one.id, one.type, COMPANY, one.timestamp, b"{}")])
    async with storage_actor(FlakyDatabase(database)) as storage, trio.open_nursery() as nursery:
        nursery.start_soon(database.write_slowly, 60.0, held)
        await held.entered.wait()

        async def repeat() -> None:
            assert await storage.ask(AppendEvents((event(), one))) == (2, 1)

        async with trio.open_nursery() as repeating:
            repeating.start_soon(repeat)
            await waiting_for_a_lock(database)
            held.release()


async def test_a_single_statement_that_writes_nothing_is_explained(database: Database) -> None:
    """A lease that another daemon has taken meanwhile is reported as ever."""
    counting = FlakyDatabase(database)
    async with storage_actor(counting) as storage:
        lease = await storage.ask(ClaimCompany(COMPANY, "running"))
        await storage.ask(CommitDelta(delta(lease, 1, base=True)))
        await database.execute("UPDATE whatsapp_leases SET owner = 'there/1', epoch = epoch + 1")

        with pytest.raises(Refused) as caught:
            await storage.ask(CommitDelta(msgspec.structs.replace(delta(lease, 2), creds=None)))

        assert (caught.value.code, counting.at_once) == ("lease_lost", 1)


async def test_what_a_file_needs_is_kept_by_the_actor(database: Database) -> None:
    """The reply comes after the commit; the same request once more changes nothing."""
    async with storage_actor(database) as storage:
        for file in (b'{"first":1}', b'{"second":2}'):
            await storage.ask(KeepMedia(COMPANY, (NewMedia(COMPANY, "0a1b", "3EB0", file),), 60.0))

    kept = await media.find(database, COMPANY, "0a1b")
    assert kept is not None
    assert kept.file == b'{"first":1}'


async def test_what_opens_a_file_and_cannot_be_sealed_is_refused_alone(postgres_dsn: str, tmp_path: Path) -> None:
    """Another company's in the same batch is kept, and the actor lives."""
    async with open_database(postgres_dsn, size=2, vault=vault(tmp_path / "master.key", 1)) as database:
        await database.write(media.keep, [NewMedia(COMPANY, "0a1b", "3EB0", b"{}")], 60.0)
        await database.execute("UPDATE whatsapp_media_keys SET wrapped = '\\x00'")
        async with storage_actor(database) as storage:
            outcomes: dict[str, str] = {}

            async def keep(company_id: str) -> None:
                try:
                    await storage.ask(KeepMedia(company_id, (NewMedia(company_id, "0a1c", "3EB0", b"{}"),), 60.0))
                    outcomes[company_id] = "kept"
                except Refused as refused:
                    outcomes[company_id] = refused.code

            async with trio.open_nursery() as nursery:
                nursery.start_soon(keep, COMPANY)
                nursery.start_soon(keep, "962303")

            assert outcomes == {COMPANY: "storage_rejected", "962303": "kept"}
        assert await media.find(database, "962303", "0a1c") is not None


async def test_what_waits_is_one_transaction(database: Database) -> None:
    """100 deltas that come while one commit is under way take far fewer commits than deltas."""
    metrics = CountingMetrics()
    async with storage_actor(database, metrics=metrics) as storage:
        lease = await storage.ask(ClaimCompany(COMPANY, "running"))
        await storage.ask(CommitDelta(delta(lease, 1, base=True)))
        async with trio.open_nursery() as nursery:
            for position in range(2, 102):
                nursery.start_soon(storage.ask, CommitDelta(delta(lease, position)))

        assert len(metrics.commits) < 20
        assert (await auth_state.load(database, COMPANY)).position == 101


async def test_who_writes_on_after_an_answer_shares_the_next_transaction(database: Database) -> None:
    """Two groups of companies that began in different commits do not take turns in small ones for ever."""
    held, metrics = HeldDatabase(database), CountingMetrics()
    async with storage_actor(held, metrics=metrics) as storage, trio.open_nursery() as nursery:
        granted = [await storage.ask(ClaimCompany(str(962302 + number), "running")) for number in range(8)]
        metrics.commits.clear()

        async def write(lease: Lease) -> None:
            for position in range(1, 4):
                await storage.ask(CommitDelta(delta(lease, position, base=position == 1)))

        held.hold()
        for early in granted[:4]:
            nursery.start_soon(write, early)
        await held.entered.wait()
        for late in granted[4:]:
            nursery.start_soon(write, late)
        await wait_until(lambda: samples(metrics)["wasup_storage_waiting"] == 8, seconds=30.0)
        held.released.set()

    assert metrics.commits == [4, 8, 8, 4]


async def test_a_write_with_an_old_epoch_is_refused_alone(database: Database) -> None:
    """Promise 2: the stale writer gets `lease_lost`; others in the same batch are committed."""
    async with storage_actor(database) as storage:
        mine = await storage.ask(ClaimCompany(COMPANY, "running"))
        other = await storage.ask(ClaimCompany("962303", "running"))
        stale = Lease(COMPANY, mine.owner, mine.epoch - 1, mine.ttl_s)
        outcomes: list[str] = []

        async def commit(lease: Lease) -> None:
            try:
                await storage.ask(CommitDelta(delta(lease, 1, base=True)))
                outcomes.append(f"{lease.company_id} stored")
            except Refused as refused:
                outcomes.append(f"{lease.company_id} {refused.code}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(commit, stale)
            nursery.start_soon(commit, other)

        assert sorted(outcomes) == ["962302 lease_lost", "962303 stored"]


async def test_a_lease_of_another_daemon_is_respected(database: Database) -> None:
    """Refused, with its name; another may be asked at once."""
    async with storage_actor(database, owner="there/1") as other:
        await other.ask(ClaimCompany(COMPANY, "running"))
    async with storage_actor(database, owner="here/1") as storage:
        with pytest.raises(Refused) as refusal:
            await storage.ask(ClaimCompany(COMPANY, "running"))

    assert refusal.value.code == "owned_elsewhere"
    assert "there/1" in refusal.value.text
    assert refusal.value.retry_after_s == 1.0


async def test_the_next_boot_of_the_same_installation_takes_its_lease_over(database: Database) -> None:
    """After kill -9 the daemon does not wait for the TTL: same installation, new boot, greater epoch."""
    async with storage_actor(database, owner="here/1") as before:
        first = await before.ask(ClaimCompany(COMPANY, "running"))
    async with storage_actor(database, owner="here/2") as after:
        second = await after.ask(ClaimCompany(COMPANY, "running"))
        with pytest.raises(Refused):
            await after.ask(CommitDelta(delta(first, 1, base=True)))

    assert second.epoch == first.epoch + 1


async def test_renewing_and_releasing(database: Database) -> None:
    """A released lease is not renewed any more."""
    async with storage_actor(database) as storage:
        lease = await storage.ask(ClaimCompany(COMPANY, "running"))
        held = await storage.ask(RenewLeases(frozenset({COMPANY, "nobody"})))
        await storage.ask(ReleaseLease(COMPANY, lease.epoch))

        again = await storage.ask(RenewLeases(frozenset({COMPANY})))

        assert (sorted(held.renewed), sorted(again.renewed), sorted(again.locked)) == ([COMPANY], [], [])


async def test_while_postgres_is_away_work_waits_and_is_kept(database: Database) -> None:
    """Accepted work is committed when Postgres is back; meanwhile `CheckWritable` says no."""
    flaky, metrics = FlakyDatabase(database), CountingMetrics()
    async with storage_actor(flaky, metrics=metrics) as storage:
        await storage.ask(CheckWritable())
        flaky.away = StorageUnavailable("switched off")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(storage.ask, ClaimCompany(COMPANY, "running"))
            await wait_until(lambda: samples(metrics)["wasup_storage_available"] == 0)
            with pytest.raises(Refused) as refusal:
                await storage.ask(CheckWritable())
            away = samples(metrics)
            flaky.away = None

        assert (away["wasup_storage_available"], away["wasup_storage_waiting"]) == (0.0, 1.0)
        assert refusal.value.code == "storage_unavailable"
        assert await companies.find(database, COMPANY) is not None
        await storage.ask(CheckWritable())
    back = samples(metrics)
    assert (back["wasup_storage_available"], back["wasup_storage_waiting"]) == (1.0, 0.0)


@pytest.mark.parametrize(("on_disk", "code"), [(True, "storage_full"), (False, "storage_unavailable")])
async def test_a_full_disk_of_postgres_has_its_own_code(database: Database, *, on_disk: bool, code: str) -> None:
    """Without memory or connections it is only away."""
    flaky, metrics = FlakyDatabase(database), CountingMetrics()
    async with storage_actor(flaky, metrics=metrics) as storage:
        flaky.away = StorageFull("could not extend file", on_disk=on_disk)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(storage.ask, ClaimCompany(COMPANY, "running"))
            await wait_until(lambda: samples(metrics)["wasup_storage_available"] == 0)
            with pytest.raises(Refused) as refusal:
                await storage.ask(CheckWritable())
            flaky.away = None

        assert refusal.value.code == code


async def test_the_queue_is_bounded(database: Database) -> None:
    """With the queue full, new work is refused at once and the old is kept."""
    flaky, metrics = FlakyDatabase(database), CountingMetrics()
    flaky.away = StorageUnavailable("switched off")
    async with storage_actor(flaky, metrics=metrics, queue_deltas=2) as storage, trio.open_nursery() as nursery:
        nursery.start_soon(storage.ask, ClaimCompany(COMPANY, "running"))
        nursery.start_soon(storage.ask, ClaimCompany("962303", "running"))
        await wait_until(lambda: samples(metrics)["wasup_storage_waiting"] == 2)
        with pytest.raises(Refused, match="too many"):
            await storage.ask(ClaimCompany("962304", "running"))
        flaky.away = None

    assert len(await companies.list_all(database)) == 2


async def test_events_get_growing_numbers_and_repeating_is_harmless(database: Database) -> None:
    """The same event appended again keeps its seq."""
    one, two = event(), event()
    async with storage_actor(database) as storage:
        first = await storage.ask(AppendEvents((one, two)))
        again = await storage.ask(AppendEvents((two, one)))

    assert first[0] < first[1]
    assert again == (first[1], first[0])


async def test_what_postgres_cannot_hold_hurts_only_its_own_caller(database: Database) -> None:
    """A value that is no JSON is refused; another company's delta in the same batch is stored, and the actor lives."""
    async with storage_actor(database) as storage:
        mine = await storage.ask(ClaimCompany(COMPANY, "running"))
        other = await storage.ask(ClaimCompany("962303", "running"))
        outcomes: list[str] = []

        async def commit(lease: Lease, creds: bytes) -> None:
            broken = msgspec.structs.replace(delta(lease, 1, base=True), creds=creds)
            try:
                await storage.ask(CommitDelta(broken))
                outcomes.append(f"{lease.company_id} stored")
            except Refused as refused:
                outcomes.append(f"{lease.company_id} {refused.code}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(commit, mine, b"{no json")
            nursery.start_soon(commit, other, b"{}")

        assert sorted(outcomes) == ["962302 storage_rejected", "962303 stored"]


async def test_archiving_leaves_no_live_identity(database: Database) -> None:
    """No identity is loaded any more; the archive has it."""
    async with storage_actor(database) as storage:
        lease = await storage.ask(ClaimCompany(COMPANY, "running"))
        await storage.ask(CommitDelta(delta(lease, 1, base=True)))
        await storage.ask(ArchiveAuth(COMPANY, "test"))

        state = await auth_state.load(database, COMPANY)
        archived = await database.fetchval("SELECT count(*) FROM whatsapp_auth_archive WHERE company_id = $1", COMPANY)
        assert (state.creds, state.keys, archived) == (None, [], 1)
