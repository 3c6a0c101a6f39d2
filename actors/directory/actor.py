"""The directory: which companies this daemon runs, where their actors are, and their leases."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import structlog
import trio

from actors import messages as m
from actors.counting import Sample
from actors.directory.leases import LeaseBook
from actors.metrics import Metrics
from actors.storage.requests import ArchiveAuth, RecordCompany, RemoveCompany, RenewLeases
from config.sections import LeaseSettings
from storage import companies
from storage.errors import StorageUnavailable
from storage.leases import usable_s
from storage.pool import Database
from supervisor import Actor, ActorRef, ChildSpec, Down, SupervisorRef
from supervisor.errors import (
    AlreadyPresent,
    AlreadyStarted,
    ChildRestarting,
    ChildRunning,
    NoSuchActor,
    SupervisorError,
)

STORAGE_S = 10.0
DISCARD_TRIES = 40
DISCARD_AGAIN_S = 0.25
BOOT_RETRY_S = 2.0
LOCKED_PAUSES_S = (0.0, 0.1, 0.2, 0.4)
"""Before each attempt at the renewals of one round: leases whose rows somebody has locked are asked for again soon."""

TOLD_AT_ONCE = 10
TOLD_WITHIN = 0.25
"""The part of the renewal interval within which all companies are told of a renewal."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    records: tuple[companies.Company, ...]


@dataclass(frozen=True, slots=True)
class _Renewed:
    owned: frozenset[str]
    lost: frozenset[str]
    asked_at: float


@dataclass(frozen=True, slots=True)
class _CheckLeases:
    pass


@final
class DirectoryActor(Actor):
    """Starts the recorded companies at boot, finds, makes and forgets company actors, renews the leases they hold."""

    def __init__(
        self,
        *,
        running: SupervisorRef,
        storage: ActorRef,
        database: Database,
        company_spec: Callable[[str, bool], ChildSpec],
        lease: LeaseSettings,
        metrics: Metrics,
        discard_device: Callable[[str], bool],
    ) -> None:
        self._running = running
        self._discard_device = discard_device
        self._storage = storage
        self._database = database
        self._company_spec = company_spec
        self._renew_every_s = lease.renew_interval_s
        self._lease_ttl_s = lease.ttl_s
        self._leases = LeaseBook(usable_s(lease.ttl_s))
        self._states: dict[str, m.CompanyState] = {}
        self._healthy: dict[str, bool] = {}
        self._is_loaded = False
        """Whether every company on record is in ``_states``."""
        self._loads = 0
        """Readings of the record that are under way, or read and not yet acted on."""
        self._forgotten: set[str] = set()
        """Meanwhile: what was read of them is not true any more."""
        self._metrics = metrics
        self._log = structlog.get_logger("wasup.directory")

    async def started(self) -> None:
        self._metrics.set_source("directory", self._samples)
        self._begin_load()
        self.context.spawn(self._renew, name="renew")
        self.context.every(min(1.0, self._lease_ttl_s / 60), _CheckLeases())

    async def receive(self, message: Any) -> Any:
        match message:
            case m.StatusChanged() | m.HealthChanged() | m.LeaseTaken() | m.LeaseDropped():
                self._on_company_notice(message)
            case _Renewed() | _CheckLeases() | _Loaded() | Down():
                await self._on_notice(message)
            case m.ListSessions(after, limit, only):
                return self._list(after, limit, only)
            case m.FindCompany(company_id):
                return await self._find_recorded(company_id)
            case m.EnsureCompany(company_id):
                return await self._ensure(company_id)
            case m.SetDesired(company_id, desired):
                await self._ask_storage(RecordCompany(company_id, desired))
                if desired == "running":
                    await self._revive(company_id)
            case m.ForgetCompany(company_id):
                await self._forget(company_id)
            case _:
                raise TypeError(f"the directory does not understand {type(message).__name__}")
        return None

    def _on_company_notice(self, notice: Any) -> None:
        match notice:
            case m.StatusChanged(company_id, status, _):
                if company_id in self._states:  # the last word of one that was forgotten does not bring it back
                    self._states[company_id] = status
            case m.HealthChanged(company_id, healthy):
                if company_id in self._states:
                    self._healthy[company_id] = healthy
            case m.LeaseTaken(company_id, asked_at):
                if company_id in self._states or not self._is_loaded:  # else it would be renewed for ever
                    self._leases.taken(company_id, asked_at)
            case m.LeaseDropped(company_id):
                self._leases.dropped(company_id)
            case _:
                return

    async def _on_notice(self, notice: Any) -> None:
        match notice:
            case _Renewed(owned, lost, asked_at):
                self._drop(self._leases.lost(lost), elsewhere=True)
                self.context.spawn(self._tell_extended, self._leases.renewed(owned, asked_at), name="extend")
            case _CheckLeases():
                self._drop(self._leases.expired(trio.current_time()), elsewhere=False)
            case _Loaded(records):
                self._is_loaded = True
                self.context.monitor(self.context.ref_to(self._running.path))
                await self._start_recorded(records)
            case Down():  # their supervisor was ended, and every company with it; it comes back without any
                self._states = dict.fromkeys(self._states, m.CompanyState.STOPPED)
                self._begin_load()
            case _:
                return

    # --- at boot, and when all companies are gone ---

    def _begin_load(self) -> None:
        self._loads += 1
        self.context.spawn(self._load, name="load")

    async def _load(self) -> None:
        while True:
            try:
                records = await self._read_companies()
            except StorageUnavailable as error:
                self._log.warning("companies_not_loaded", reason=str(error))
                await trio.sleep(BOOT_RETRY_S)
            else:
                await self.context.ref.send(_Loaded(tuple(records)))
                return

    async def _read_companies(self) -> list[companies.Company]:
        found: list[companies.Company] = []
        while page := await companies.list_all(self._database, after=found[-1].company_id if found else ""):
            found += page
        return found

    async def _start_recorded(self, records: tuple[companies.Company, ...]) -> None:
        for record in records:
            if record.company_id not in self._forgotten:
                self._states.setdefault(record.company_id, m.CompanyState.STOPPED)
                await self._start(record.company_id, running=record.desired == "running")
        self._loads -= 1
        if not self._loads:
            self._forgotten.clear()

    async def _start(self, company_id: str, *, running: bool) -> ActorRef:
        try:
            return await self._running.start_child(self._company_spec(company_id, running))
        except (AlreadyStarted, AlreadyPresent):  # this directory was restarted: learn how the company is
            ref = self._running.child(company_id)
            self.context.spawn(self._learn, company_id, ref, name="learn")
            return ref

    async def _learn(self, company_id: str, ref: ActorRef) -> None:
        try:
            status = await ref.ask(m.GetStatus(), timeout=STORAGE_S)
        except SupervisorError:
            return  # it tells its next transition itself
        await self.context.ref.send(m.StatusChanged(company_id, status.status, status.connected))
        if status.lease_epoch is not None:
            # The engine has the real end of it (actors/engine/leash.py); here it counts from now until the next renewal.
            await self.context.ref.send(m.LeaseTaken(company_id, trio.current_time()))

    # --- finding ---

    def _find(self, company_id: str) -> ActorRef:
        try:
            return self._running.child(company_id)
        except NoSuchActor as error:
            if company_id in self._states or not self._is_loaded:
                # It is, or may be, on record: an answer of "no such company" would be believed.
                raise m.Refused("restarting", f"{company_id} is being started", retry_after_s=1.0) from error
            raise m.Refused("no_such_company", f"there is no company {company_id}", company_id=company_id) from error

    async def _find_recorded(self, company_id: str) -> ActorRef:
        """The company's actor; made first, stopped, when the company was recorded behind our back, as an import does."""
        try:
            return self._find(company_id)
        except m.Refused as refused:
            with contextlib.suppress(StorageUnavailable):
                if refused.code == "no_such_company" and await companies.find(self._database, company_id) is not None:
                    self._states.setdefault(company_id, m.CompanyState.STOPPED)
                    return await self._start(company_id, running=False)
            raise

    async def _ensure(self, company_id: str) -> ActorRef:
        try:
            await self._revive(company_id)
            return self._running.child(company_id)
        except NoSuchActor:
            await self._ask_storage(RecordCompany(company_id, "running"))
            self._forgotten.discard(company_id)
            self._states[company_id] = m.CompanyState.STOPPED
            return await self._start(company_id, running=True)

    async def _revive(self, company_id: str) -> None:
        """Give a company that spent its restarts another life."""
        with contextlib.suppress(ChildRunning, ChildRestarting):
            await self._running.restart_child(company_id)

    def _list(self, after: str | None, limit: int, only: frozenset[str] | None) -> m.SessionPage:
        known = sorted(company_id for company_id in self._states if only is None or company_id in only)
        rest = [company_id for company_id in known if after is None or company_id > after]
        page = rest[:limit]
        return m.SessionPage(
            count=len(known),
            sessions=tuple(self._summary(company_id) for company_id in page),
            next=page[-1] if len(rest) > limit else None,
        )

    def _summary(self, company_id: str) -> m.SessionSummary:
        state, healthy = self._states[company_id], self._healthy.get(company_id)
        return m.SessionSummary(
            company_id=company_id,
            connected=state is m.CompanyState.CONNECTED,
            status=state,
            health="unknown" if healthy is None else "healthy" if healthy else "unhealthy",
        )

    async def _forget(self, company_id: str) -> None:
        self._find(company_id)
        await self._running.terminate_child(company_id)
        await self._ask_storage(ArchiveAuth(company_id, "forgotten by an operator"))
        await self._ask_storage(RemoveCompany(company_id))
        if self._loads:
            self._forgotten.add(company_id)
        self._states.pop(company_id, None)
        self._healthy.pop(company_id, None)
        self._leases.dropped(company_id)
        self._metrics.company_forgotten(company_id)
        self.context.spawn(self._discard, company_id, name="discard")

    async def _discard(self, company_id: str) -> None:
        """Its engine still has the file open for a moment. Whoever is made anew under this name meanwhile takes it over."""
        for _ in range(DISCARD_TRIES):
            try:
                if company_id in self._states or self._discard_device(company_id):
                    return
            except OSError as error:
                self._log.error("device_file_left", company_id=company_id, reason=str(error))
                return
            await trio.sleep(DISCARD_AGAIN_S)
        self._log.warning("device_file_left", company_id=company_id, reason="an engine process has it open")

    async def _ask_storage(self, request: Any) -> None:
        try:
            await self._storage.ask(request, timeout=STORAGE_S)
        except SupervisorError as error:
            raise m.Refused("storage_unavailable", "Postgres does not take writes now", retry_after_s=5.0) from error

    # --- leases ---

    async def _renew(self) -> None:
        """Ask for renewal again and again; what cannot be renewed is dropped by `_CheckLeases` in time."""
        while True:
            await trio.sleep(self._renew_every_s)
            asked = self._leases.companies
            for pause_s in LOCKED_PAUSES_S:
                if asked:
                    await trio.sleep(pause_s)
                    asked = await self._renew_once(asked)

    async def _renew_once(self, asked: frozenset[str]) -> frozenset[str]:
        """Those whose rows were locked: nothing is known of them, and they are worth asking for again."""
        asked_at = trio.current_time()
        try:
            renewal = await self._storage.ask(RenewLeases(asked), timeout=self._renew_every_s)
        except (SupervisorError, m.Refused) as error:
            self._log.warning("leases_not_renewed", companies=len(asked), reason=str(error))
            return frozenset()
        lost = asked - renewal.renewed - renewal.locked
        await self.context.ref.send(_Renewed(renewal.renewed, lost, asked_at))
        return renewal.locked

    async def _tell_extended(self, until: Mapping[str, float]) -> None:
        """A few at a time: a thousand companies that tell their engines in the same moment would have every message wait for them."""
        waiting = deque(until)
        pause_s = TOLD_WITHIN * self._renew_every_s * TOLD_AT_ONCE / max(len(waiting), 1)
        while waiting:
            held = self._leases.companies
            for company_id in [waiting.popleft() for _ in range(min(TOLD_AT_ONCE, len(waiting)))]:
                if company_id in held:
                    self._tell_company(company_id, m.LeaseExtended(until[company_id]))
            await trio.sleep(pause_s)

    def _samples(self) -> Iterator[Sample]:
        unhealthy = sum(not healthy for healthy in self._healthy.values())
        yield Sample("wasup_sessions_unhealthy", "Companies whose last check failed", unhealthy)
        yield Sample("wasup_leases_held", "Companies this daemon holds the lease of", len(self._leases.companies))
        left_s = self._leases.least_left_s(trio.current_time())
        text = "Until the first lease must be dropped unless it is renewed; the whole time when none is held"
        yield Sample("wasup_lease_remaining_seconds", text, self._lease_ttl_s if left_s is None else left_s)

    def _drop(self, company_ids: frozenset[str], *, elsewhere: bool) -> None:
        if company_ids:
            self._metrics.leases_lost("elsewhere" if elsewhere else "expired", len(company_ids))
        for company_id in company_ids:
            self._log.error("lease_lost", company_id=company_id, elsewhere=elsewhere)
            why = "another daemon owns this company" if elsewhere else "the lease could not be renewed in time"
            self._tell_company(company_id, m.LeaseWasLost(why, elsewhere=elsewhere))

    def _tell_company(self, company_id: str, news: m.LeaseExtended | m.LeaseWasLost) -> None:
        with contextlib.suppress(m.Refused, SupervisorError):
            self._find(company_id).tell(news)
