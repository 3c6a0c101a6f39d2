"""The directory: which companies run here, and their leases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from prometheus_client import CollectorRegistry

from actors import messages as m
from actors.daemon.metrics import Metrics
from actors.directory.actor import DISCARD_AGAIN_S, TOLD_AT_ONCE, DirectoryActor
from actors.storage.actor import StorageActor
from actors.storage.requests import ClaimCompany
from config.sections import LeaseSettings, StorageSettings
from storage.database.pool import Database
from storage.tables import companies, leases, ownership
from supervisor import (
    Actor,
    ActorRef,
    ChildSpec,
    Context,
    DynamicSupervisorSpec,
    Intensity,
    SupervisorSpec,
    System,
    open_system,
)
from tests.actors.storage.test_actor import CountingMetrics

COMPANY = "962302"


@dataclass
class Fleet:
    """The messages that the fake companies got, and how they were started."""

    told: list[tuple[str, Any]] = field(default_factory=list)
    started: dict[str, bool] = field(default_factory=dict)
    crash_on_start: bool = False
    holders: int = 0
    """Attempts to discard a device file that still find it open."""
    discarded: list[str] = field(default_factory=list)

    def discard(self, company_id: str) -> bool:
        self.holders -= 1
        if self.holders < 0:
            self.discarded.append(company_id)
        return self.holders < 0

    status: m.CompanyState = m.CompanyState.CONNECTED


class FakeCompany(Actor):
    def __init__(self, company_id: str, running: bool, fleet: Fleet) -> None:
        self.company_id = company_id
        self.running = running
        self.fleet = fleet

    async def started(self) -> None:
        self.fleet.started[self.company_id] = self.running
        if self.fleet.status is m.CompanyState.ELSEWHERE:
            self.context.ref_to("/directory").tell(m.StatusChanged(self.company_id, self.fleet.status, False))

    async def receive(self, message: Any) -> Any:
        self.fleet.told.append((self.company_id, message))
        if isinstance(message, m.GetStatus):
            ages = m.Evidence(
                connected_age_s=None, round_trip_age_s=None, round_trip_s=None, message_age_s=None, commit_age_s=None
            )
            return m.CompanyStatus(
                company_id=self.company_id, status=self.fleet.status, reason="", connected=True, since=0.0,
                phone_number=None, lid=None, reconnect_attempts=0, next_attempt_at=None, restarts=0, engine=None,
                lease_epoch=1, evidence=ages,
            )  # fmt: skip
        return None


@asynccontextmanager
async def directory(
    database: Database,
    fleet: Fleet,
    *,
    lease: LeaseSettings | None = None,
    metrics: Metrics | None = None,
    channel: str = ownership.CHANNEL,
) -> AsyncIterator[System]:
    def make_storage(_: Context) -> StorageActor:
        return StorageActor(
            database, settings=StorageSettings(), owner="here/1", lease_ttl_s=60.0, metrics=CountingMetrics()
        )

    def make_directory(context: Context) -> DirectoryActor:
        return DirectoryActor(
            running=context.supervisor("/companies"),
            storage=context.ref_to("/storage"),
            database=database,
            listener=database.listener(channel),
            owner="here/1",
            company_spec=lambda company_id, running: ChildSpec(
                id=company_id, start=lambda _: FakeCompany(company_id, running, fleet)
            ),
            lease=lease or LeaseSettings(),
            metrics=metrics or Metrics(CollectorRegistry()),
            discard_device=fleet.discard,
        )

    companies_spec = DynamicSupervisorSpec(intensity=Intensity(max_restarts=0, within=60.0), intensity_per_child=True)
    spec = SupervisorSpec(
        [
            ChildSpec(id="storage", start=make_storage),
            ChildSpec(id="companies", start=companies_spec),
            ChildSpec(id="directory", start=make_directory),
        ],
        intensity=Intensity(max_restarts=5, within=60.0),
    )
    with trio.fail_after(20):
        async with open_system(spec) as system:
            yield system


async def until_started(fleet: Fleet, count: int) -> None:
    while len(fleet.started) < count:
        await trio.sleep(0.01)


async def test_recorded_companies_are_started_at_boot(database: Database) -> None:
    """Companies recorded as running run; the stopped ones have an actor too, at rest."""
    await database.write(companies.ensure, COMPANY, "running")
    await database.write(companies.ensure, "962303", "stopped")
    fleet = Fleet()
    async with directory(database, fleet):
        await until_started(fleet, 2)

    assert fleet.started == {COMPANY: True, "962303": False}


async def refusal(system: System, company_id: str) -> str:
    """The code with which a request for a company is refused, once the directory has read the record."""
    while True:
        with pytest.raises(m.Refused) as refused:
            await system.ref("/directory").ask(m.FindCompany(company_id))
        if refused.value.code != "restarting":
            return refused.value.code
        await trio.sleep(0.01)


async def test_an_unknown_company_is_refused(database: Database) -> None:
    """404, and no company is made."""
    async with directory(database, Fleet()) as system:
        assert await refusal(system, COMPANY) == "no_such_company"
        assert (await system.ref("/directory").ask(m.ListSessions())).count == 0


async def test_ensuring_twice_makes_one_company_and_records_it(database: Database) -> None:
    """Two requests at once are the same actor; after a restart of the daemon it is there again."""
    fleet = Fleet()
    async with directory(database, fleet) as system:
        refs = [await system.ref("/directory").ask(m.EnsureCompany(COMPANY)) for _ in range(2)]
        assert refs[0] is refs[1]
    again = Fleet()
    async with directory(database, again):
        await until_started(again, 1)

    assert again.started == {COMPANY: True}


async def test_a_known_company_is_never_said_not_to_exist(database: Database) -> None:
    """Before its actor is up, at boot and after the supervisor of all companies was ended, it is `restarting`: ask again."""
    await database.write(companies.ensure, COMPANY, "running")
    fleet = Fleet()
    async with directory(database, fleet) as system:
        with pytest.raises(m.Refused) as refused:
            await system.ref("/directory").ask(m.FindCompany(COMPANY))
        assert (refused.value.code, refused.value.retry_after_s) == ("restarting", 1.0)
        await until_started(fleet, 1)
        fleet.started.clear()
        system.kill("/companies")
        while not fleet.started:
            try:
                await system.ref("/directory").ask(m.FindCompany(COMPANY))
            except m.Refused as error:
                assert error.code == "restarting"  # noqa: PT017 - any other answer fails
            await trio.sleep(0.01)


async def test_the_last_word_of_a_forgotten_company_does_not_bring_it_back(database: Database) -> None:
    """The status that a company sent while it was stopped does not add it again."""
    async with directory(database, Fleet()) as system:
        assert await refusal(system, COMPANY) == "no_such_company"
        system.ref("/directory").tell(m.StatusChanged(COMPANY, m.CompanyState.STOPPED, False))

        assert (await system.ref("/directory").ask(m.ListSessions())).count == 0


async def test_late_news_of_a_forgotten_company_is_dropped(database: Database) -> None:
    """Its check makes no unhealthy company; a lease that was taken while it was stopped is not renewed for ever."""
    metrics = Metrics(CollectorRegistry())
    async with directory(database, Fleet(), metrics=metrics) as system:
        ref = system.ref("/directory")
        await ref.ask(m.EnsureCompany(COMPANY))
        await until_loaded(ref)
        await ref.ask(m.ForgetCompany(COMPANY))
        ref.tell(m.HealthChanged(COMPANY, healthy=False))
        ref.tell(m.LeaseTaken(COMPANY, trio.current_time()))
        await ref.ask(m.ListSessions())

        exposition = metrics.exposition()
    assert b"wasup_sessions_unhealthy 0.0" in exposition
    assert b"wasup_leases_held 0.0" in exposition


@pytest.mark.parametrize("healthy", [True, False])
async def test_a_check_says_nothing_of_a_company_that_is_not_connected(database: Database, healthy: bool) -> None:
    """The health of a company that was logged out is unknown, whatever its last check or a late one found."""
    async with directory(database, Fleet()) as system:
        ref = system.ref("/directory")
        await ref.ask(m.EnsureCompany(COMPANY))
        await until_loaded(ref)
        ref.tell(m.StatusChanged(COMPANY, m.CompanyState.CONNECTED, True))
        ref.tell(m.HealthChanged(COMPANY, healthy=healthy))
        connected = (await ref.ask(m.ListSessions())).sessions[0].health
        ref.tell(m.StatusChanged(COMPANY, m.CompanyState.LOGGED_OUT, False))
        logged_out = (await ref.ask(m.ListSessions())).sessions[0].health
        ref.tell(m.HealthChanged(COMPANY, healthy=healthy))
        later = (await ref.ask(m.ListSessions())).sessions[0].health

    assert (connected, logged_out, later) == ("healthy" if healthy else "unhealthy", "unknown", "unknown")


async def test_a_forgotten_company_is_counted_no_more(database: Database) -> None:
    """Also when the caller no longer waits for the reply: what is kept for each company ends with it."""
    metrics = Metrics(CollectorRegistry())
    async with directory(database, Fleet(), metrics=metrics) as system:
        await system.ref("/directory").ask(m.EnsureCompany(COMPANY))
        metrics.status_changed(COMPANY, m.CompanyState.CONNECTED)
        metrics.message_sent(COMPANY)
        await system.ref("/directory").ask(m.ForgetCompany(COMPANY))

    assert metrics.totals().total_sessions == 0
    assert metrics.totals({COMPANY}).messages_sent == 0


async def test_a_forgotten_company_is_gone(database: Database) -> None:
    """No actor, no record."""
    async with directory(database, Fleet()) as system:
        await system.ref("/directory").ask(m.EnsureCompany(COMPANY))
        await system.ref("/directory").ask(m.ForgetCompany(COMPANY))

        with pytest.raises(m.Refused):
            await system.ref("/directory").ask(m.FindCompany(COMPANY))
        assert await companies.find(database, COMPANY) is None


async def test_a_company_that_is_forgotten_while_the_record_is_read_stays_forgotten(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that was read before does not bring it back."""
    read, may_go_on = trio.Event(), trio.Event()

    async def slowly(*args: Any, **kwargs: Any) -> list[companies.Company]:
        page = await list_all(*args, **kwargs)
        if page:
            read.set()
            await may_go_on.wait()
        return page

    list_all = companies.list_all
    monkeypatch.setattr(companies, "list_all", slowly)
    await database.write(companies.ensure, COMPANY)
    fleet = Fleet()
    async with directory(database, fleet) as system:
        ref = system.ref("/directory")
        await read.wait()
        await ref.ask(m.EnsureCompany(COMPANY))
        await ref.ask(m.ForgetCompany(COMPANY))
        may_go_on.set()
        await until_loaded(ref)

        with pytest.raises(m.Refused, match="no company"):
            await ref.ask(m.FindCompany(COMPANY))


async def until_loaded(ref: ActorRef) -> None:
    """Before, it does not say of any company that it is unknown."""
    code = ""
    while code != "no_such_company":
        await trio.sleep(0.01)
        try:
            await ref.ask(m.FindCompany("nobody"))
        except m.Refused as refused:
            code = refused.code


async def test_the_device_file_of_a_forgotten_company_goes_when_its_engine_has_let_go(database: Database) -> None:
    """It is tried again while the engine closes it."""
    fleet = Fleet(holders=2)
    async with directory(database, fleet) as system:
        await system.ref("/directory").ask(m.EnsureCompany(COMPANY))
        await system.ref("/directory").ask(m.ForgetCompany(COMPANY))

        while not fleet.discarded:
            await trio.sleep(0.01)
    assert fleet.discarded == [COMPANY]


async def test_a_company_that_is_made_again_keeps_its_new_device_file(database: Database) -> None:
    """Forgotten and made again before its engine had let go of the old file: from then on the file is the new one's."""
    fleet = Fleet(holders=1)
    async with directory(database, fleet) as system:
        await system.ref("/directory").ask(m.EnsureCompany(COMPANY))
        await system.ref("/directory").ask(m.ForgetCompany(COMPANY))
        while fleet.holders > 0:
            await trio.lowlevel.checkpoint()
        await system.ref("/directory").ask(m.EnsureCompany(COMPANY))

        await trio.sleep(2 * DISCARD_AGAIN_S)
    assert fleet.discarded == []


async def test_sessions_are_listed_in_pages_and_by_key(database: Database) -> None:
    """In order of their ids, with a cursor; a key sees only its own."""
    async with directory(database, Fleet()) as system:
        ref = system.ref("/directory")
        for number in range(5):
            await ref.ask(m.EnsureCompany(f"c{number}"))
        first = await ref.ask(m.ListSessions(limit=2))
        second = await ref.ask(m.ListSessions(after=first.next, limit=9))
        own = await ref.ask(m.ListSessions(only=frozenset({"c3", "foreign"})))

    assert [session.company_id for session in first.sessions + second.sessions] == [f"c{n}" for n in range(5)]
    assert (first.next, second.next, own.count) == ("c1", None, 1)


async def test_a_company_that_was_imported_beside_the_daemon_is_found(database: Database) -> None:
    """Recorded by another process since boot, as one to run: it gets its actor, which does. Others are still unknown."""
    fleet = Fleet()
    async with directory(database, fleet) as system:
        assert await refusal(system, COMPANY) == "no_such_company"
        await database.write(companies.ensure, COMPANY, "running")
        found = await system.ref("/directory").ask(m.FindCompany(COMPANY))
        page = await system.ref("/directory").ask(m.ListSessions())
        assert await refusal(system, "962303") == "no_such_company"

    assert found.path == f"/companies/{COMPANY}"
    assert fleet.started == {COMPANY: True}
    assert [session.company_id for session in page.sessions] == [COMPANY]


async def test_a_lease_that_another_daemon_took_is_told_to_its_company(database: Database) -> None:
    """The renewal does not confirm it: drop the socket."""
    fleet, metrics = Fleet(), Metrics(CollectorRegistry())
    lease = LeaseSettings(ttl_s=6.0, renew_interval_s=0.05)
    async with directory(database, fleet, lease=lease, metrics=metrics) as system:
        await system.ref("/directory").ask(m.EnsureCompany(COMPANY))
        await system.ref("/storage").ask(ClaimCompany(COMPANY, "running"))
        system.ref("/directory").tell(m.LeaseTaken(COMPANY, trio.current_time()))
        while b"wasup_leases_held 1.0" not in metrics.exposition():
            await trio.sleep(0.01)
        await database.execute("UPDATE whatsapp_leases SET owner = 'there/1', epoch = epoch + 1")
        while not any(isinstance(message, m.LeaseWasLost) for _, message in fleet.told):
            await trio.sleep(0.01)

    lost = next(message for _, message in fleet.told if isinstance(message, m.LeaseWasLost))
    assert lost.elsewhere
    assert b'wasup_leases_lost_total{why="elsewhere"} 1.0' in metrics.exposition()
    assert b"wasup_leases_held 0.0" in metrics.exposition()


async def test_every_company_is_told_of_its_renewed_lease(database: Database) -> None:
    """Also when there are more than one turn tells."""
    fleet = Fleet()
    wanted = {f"9624{number:02}" for number in range(2 * TOLD_AT_ONCE + 1)}
    async with directory(database, fleet, lease=LeaseSettings(ttl_s=6.0, renew_interval_s=0.2)) as system:
        for company_id in sorted(wanted):
            await system.ref("/directory").ask(m.EnsureCompany(company_id))
            await system.ref("/storage").ask(ClaimCompany(company_id, "running"))
            system.ref("/directory").tell(m.LeaseTaken(company_id, trio.current_time()))
        while {company_id for company_id, message in fleet.told if isinstance(message, m.LeaseExtended)} != wanted:
            await trio.sleep(0.01)


async def test_a_lease_that_cannot_be_renewed_is_given_up_before_it_ends(database: Database) -> None:
    """Storage is away: the socket is dropped within the TTL, by our own clock."""
    fleet = Fleet()
    async with directory(database, fleet, lease=LeaseSettings(ttl_s=1.0, renew_interval_s=0.2)) as system:
        await system.ref("/directory").ask(m.EnsureCompany(COMPANY))
        system.suspend("/storage")
        began = trio.current_time()
        system.ref("/directory").tell(m.LeaseTaken(COMPANY, trio.current_time()))
        while not any(isinstance(message, m.LeaseWasLost) for _, message in fleet.told):
            await trio.sleep(0.01)
        system.resume("/storage")

    lost = next(message for _, message in fleet.told if isinstance(message, m.LeaseWasLost))
    assert not lost.elsewhere
    assert trio.current_time() - began < 2.5


async def test_after_a_crash_it_learns_how_its_companies_are(database: Database) -> None:
    """States and leases are asked for again; no company is started twice."""
    fleet = Fleet()
    async with directory(database, fleet) as system:
        ref = system.ref("/directory")
        await ref.ask(m.EnsureCompany(COMPANY))
        system.kill("/directory")
        while True:
            page = await ref.ask(m.ListSessions())
            if page.sessions and page.sessions[0].connected:
                break
            await trio.sleep(0.01)

    assert page.count == 1


async def test_companies_that_went_with_their_supervisor_are_started_again(database: Database) -> None:
    """Killed with everything below it, the supervisor comes back without a company; the directory starts them all."""
    await database.write(companies.ensure, COMPANY, "running")
    await database.write(companies.ensure, "962303", "stopped")
    fleet = Fleet()
    async with directory(database, fleet) as system:
        await until_started(fleet, 2)
        fleet.started.clear()
        system.kill("/companies")
        await until_started(fleet, 2)

        assert fleet.started == {COMPANY: True, "962303": False}
        assert system.snapshot("/companies").restarts == 1


async def test_a_company_that_was_given_up_is_revived_by_an_order(database: Database) -> None:
    """Its restarts are used up; `start` makes it anew."""
    fleet = Fleet()
    async with directory(database, fleet) as system:
        ref = system.ref("/directory")
        await ref.ask(m.EnsureCompany(COMPANY))
        system.kill(f"/companies/{COMPANY}")
        while system.snapshot(f"/companies/{COMPANY}").state != "failed":
            await trio.sleep(0.01)
        await ref.ask(m.SetDesired(COMPANY, "running"))

        assert system.snapshot(f"/companies/{COMPANY}").state == "running"


async def test_leases_survive_in_the_record_of_their_epoch(database: Database) -> None:
    """Releasing and taking again never lowers the epoch."""
    first = await database.write(leases.acquire, COMPANY, "here/1", 60.0)
    await database.write(leases.release, COMPANY, "here/1", first.epoch)
    second = await database.write(leases.acquire, COMPANY, "there/1", 60.0)

    assert second.epoch > first.epoch


# --- other daemons on the same database ------------------------------------------------------------------------------

THERE = "there/host-1"


async def until_told(fleet: Fleet, kind: type[Any]) -> None:
    while not any(isinstance(message, kind) for _, message in fleet.told):
        await trio.sleep(0.01)


async def test_a_company_that_another_daemon_made_is_known(database: Database) -> None:
    """Without a message from this node."""
    fleet = Fleet()
    async with directory(database, fleet) as system:
        await until_loaded(system.ref("/directory"))
        await database.write(ownership.claim, COMPANY, THERE, 60.0, "running")
        await until_started(fleet, 1)

    assert fleet.started == {COMPANY: True}


async def test_notifications_are_not_needed(database: Database) -> None:
    """As behind a pooler in transaction mode: a regular look finds the changes."""
    fleet = Fleet()
    lease = LeaseSettings(follow_interval_s=0.2)
    async with directory(database, fleet, lease=lease, channel="nothing_is_notified_here") as system:
        await until_loaded(system.ref("/directory"))
        await database.write(companies.ensure, COMPANY, "running")
        await until_started(fleet, 1)


async def test_with_notifications_nobody_waits_for_the_next_look(database: Database) -> None:
    """It starts at once, long before the interval is over."""
    fleet = Fleet()
    async with directory(database, fleet, lease=LeaseSettings(follow_interval_s=60.0)) as system:
        await until_loaded(system.ref("/directory"))
        await database.write(companies.ensure, COMPANY, "running")
        await until_started(fleet, 1)


async def test_a_company_that_another_daemon_forgot_is_gone_here_too(database: Database) -> None:
    """Its actor, its row in the list, its figures and its device file."""
    fleet, metrics = Fleet(status=m.CompanyState.ELSEWHERE), Metrics(CollectorRegistry())
    await database.write(ownership.claim, COMPANY, THERE, 60.0, "running")
    async with directory(database, fleet, metrics=metrics) as system:
        await until_started(fleet, 1)
        metrics.status_changed(COMPANY, m.CompanyState.ELSEWHERE)
        await database.write(lambda c: ownership.forget(c, COMPANY, THERE, 60.0, "test", give_back=True))
        while not fleet.discarded:
            await trio.sleep(0.01)

        assert await refusal(system, COMPANY) == "no_such_company"
        assert (await system.ref("/directory").ask(m.ListSessions())).count == 0
        assert metrics.totals().total_sessions == 0


async def test_a_company_that_nobody_owns_any_more_is_taken_up(database: Database) -> None:
    """Published once its owner has given the lease back, with whether it is linked."""
    fleet = Fleet(status=m.CompanyState.ELSEWHERE)
    lease = await database.write(ownership.claim, COMPANY, THERE, 60.0, "running")
    async with directory(database, fleet):
        await until_started(fleet, 1)
        await database.write(leases.release, COMPANY, THERE, lease.epoch)
        await until_told(fleet, m.TakeUp)

    assert (COMPANY, m.TakeUp(is_linked=False)) in fleet.told


async def test_a_stop_at_the_owner_is_told(database: Database) -> None:
    """A company that waits here has nothing to wait for."""
    fleet = Fleet(status=m.CompanyState.ELSEWHERE)
    await database.write(ownership.claim, COMPANY, THERE, 60.0, "running")
    async with directory(database, fleet):
        await until_started(fleet, 1)
        await database.write(ownership.record_stop, COMPANY, THERE)
        await until_told(fleet, m.StandDown)

    assert not any(isinstance(message, m.TakeUp) for _, message in fleet.told)


@pytest.mark.parametrize(
    "order",
    [m.FindCompany(COMPANY), m.EnsureCompany(COMPANY), m.ForgetCompany(COMPANY), m.SetDesired(COMPANY, "running"),
     m.SetDesired(COMPANY, "stopped")],
    ids=lambda order: f"{type(order).__name__} {getattr(order, 'desired', '')}".strip(),
)  # fmt: skip
async def test_what_is_asked_for_another_daemons_company_is_refused(database: Database, order: Any) -> None:
    """The refusal has its name, and the company's actor and record here stay as they are."""
    fleet = Fleet(status=m.CompanyState.ELSEWHERE)
    await database.write(ownership.claim, COMPANY, THERE, 60.0, "running")
    async with directory(database, fleet) as system:
        await until_started(fleet, 1)
        with pytest.raises(m.Refused, match=THERE) as refused:
            await system.ref("/directory").ask(order)

        assert refused.value.code == "owned_elsewhere"
        assert system.snapshot(f"/companies/{COMPANY}").state == "running"
    record = await companies.find(database, COMPANY)
    assert record is not None
    assert record.desired == "running"


async def test_a_linked_company_is_not_linked_again(database: Database) -> None:
    """Stopped, with its credentials in Postgres: refused, and it stays recorded as stopped and free."""
    await database.write(companies.ensure, COMPANY, "stopped")
    await database.execute("INSERT INTO whatsapp_auth (company_id, creds) VALUES ($1, '{}')", COMPANY)
    async with directory(database, Fleet()) as system:
        await until_loaded(system.ref("/directory"))
        with pytest.raises(m.Refused) as refused:
            await system.ref("/directory").ask(m.EnsureCompany(COMPANY))

    assert refused.value.code == "already_linked"
    record = await companies.find(database, COMPANY)
    assert record is not None
    assert record.desired == "stopped"
    assert await leases.owner_of(database, COMPANY) is None
