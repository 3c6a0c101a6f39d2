"""The directory: which companies this daemon runs, where their actors are, and their leases."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import structlog
import trio

from actors import messages as m
from actors.daemon.metric_types import Sample
from actors.daemon.metrics import Metrics
from actors.directory.following import Looked, RecordFollower
from actors.directory.leases import LeaseBook
from actors.storage.refusals import owned_elsewhere
from actors.storage.requests import ClaimCompany, ForgetRecord, RecordStop, RenewLeases
from config.sections import LeaseSettings
from storage.database.listening import Listener
from storage.database.pool import Database
from storage.errors import LeaseHeld, StorageError, StorageUnavailable
from storage.tables import companies, leases, ownership
from storage.tables.companies import Desired
from storage.tables.leases import usable_s
from supervisor import Actor, ActorRef, ChildSpec, Down, ReplyTo, SupervisorRef
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
LOCKED_PAUSES_S = (0.0, 0.1, 0.2, 0.4)
"""The pause before each attempt of one round of renewals: leases whose rows are locked are asked for again soon."""

_RESTING = frozenset({m.CompanyState.ELSEWHERE, m.CompanyState.STOPPED})

TOLD_AT_ONCE = 10
TOLD_WITHIN = 0.25
"""The share of the renewal interval within which every company hears of its renewal."""


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
    """Keeps an actor for each company on record: finds, makes and forgets them, renews the leases they hold, and has them take up companies
    that no daemon owns any more."""

    def __init__(
        self,
        *,
        running: SupervisorRef,
        storage: ActorRef,
        database: Database,
        listener: Listener,
        owner: str,
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
        self._desired: dict[str, Desired] = {}
        """The records, as last read."""
        self._is_loaded = False
        """Whether every company on record is in ``_states``."""
        self._follower = RecordFollower(database, listener, lease.follow_interval_s)
        self._owner = owner
        self._metrics = metrics
        self._log = structlog.get_logger("wasup.directory")

    async def started(self) -> None:
        self._metrics.set_source("directory", self._samples)
        self.context.spawn(self._follower.run, self.context.ref.send, name="follow")
        self.context.spawn(self._renew, name="renew")
        self.context.every(min(1.0, self._lease_ttl_s / 60), _CheckLeases())

    async def receive(self, message: Any) -> Any:
        match message:
            case m.StatusChanged() | m.HealthChanged() | m.LeaseTaken() | m.LeaseDropped():
                self._on_company_notice(message)
            case _Renewed() | _CheckLeases() | Looked() | Down():
                await self._on_notice(message)
            case m.ListSessions(after, limit, only):
                return self._list(after, limit, only)
            case m.FindCompany(company_id):
                ref = await self._find_recorded(company_id)
                if self._leases.holds(company_id):
                    return ref
                self.context.spawn(self._answer_found, company_id, ref, self.context.defer(), name="find")
            case m.EnsureCompany() | m.SetDesired() | m.ForgetCompany():
                with self._follower.changing(message.company_id):
                    return await self._on_order(message)
            case m.DiskFailed():
                for company_id in self._states:
                    self._tell_company(company_id, message)
            case _:
                raise TypeError(f"the directory does not understand {type(message).__name__}")
        return None

    async def _on_order(self, order: Any) -> Any:
        match order:
            case m.EnsureCompany(company_id):
                return await self._ensure(company_id)
            case m.SetDesired(company_id, "stopped"):
                await self._ask_storage(RecordStop(company_id))
            case m.SetDesired(company_id):
                await self._ask_storage(ClaimCompany(company_id, "running"))
                await self._revive(company_id)
            case _:
                await self._forget(order.company_id)
        return None

    def _on_company_notice(self, notice: Any) -> None:
        match notice:
            case m.StatusChanged(company_id, status, _):
                if company_id in self._states:  # a late notice does not bring a forgotten company back
                    self._states[company_id] = status
                    if status is not m.CompanyState.CONNECTED:
                        self._healthy.pop(company_id, None)  # the last check was of a connection that has ended
            case m.HealthChanged(company_id, healthy):
                if self._states.get(company_id) is m.CompanyState.CONNECTED:
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
            case Looked():
                await self._take_in(notice)
            case Down():  # their supervisor ended with every company, and restarts without any
                self._states = dict.fromkeys(self._states, m.CompanyState.STOPPED)
                self._is_loaded = False
                self._follower.read_again()
            case _:
                return

    # --- what is on record, and what is free ---

    async def _take_in(self, looked: Looked) -> None:
        known = tuple(self._states)
        try:
            if looked.records is not None:
                await self._follow_records(looked.records, looked.touched)
            self._follow_owners(looked, known)
        finally:
            looked.taken_in.set()

    async def _follow_records(self, records: Mapping[str, Desired], touched: Container[str]) -> None:
        for company_id, desired in records.items():
            if company_id not in touched and not self._has_actor(company_id):
                self._states.setdefault(company_id, m.CompanyState.STOPPED)
                await self._start(company_id, running=desired == "running")
        if not self._is_loaded:
            self._is_loaded = True
            self.context.monitor(self.context.ref_to(self._running.path))
        for company_id in self._states.keys() - records.keys():
            if company_id not in touched:
                await self._vanish(company_id)
        self._desired = dict(records)

    def _follow_owners(self, looked: Looked, known: Iterable[str]) -> None:
        """Tell companies that do not run here when their record or their ownership at other daemons has changed."""
        for company_id in known:
            state, desired = self._states.get(company_id), self._desired.get(company_id)
            if company_id in looked.touched or state is None or desired is None:
                continue
            if desired == "stopped":
                if state is m.CompanyState.ELSEWHERE:
                    self._tell_company(company_id, m.StandDown())
            elif company_id in looked.free:
                if state in _RESTING:
                    self._tell_company(company_id, m.TakeUp(looked.free[company_id]))
            elif state is m.CompanyState.STOPPED:  # started at another daemon, as asking for its lease shows
                self._tell_company(company_id, m.TakeUp(is_linked=True))

    async def _vanish(self, company_id: str) -> None:
        """Remove a company whose record another process has removed."""
        was_ours = self._leases.holds(company_id)
        self._log.warning("company_vanished", company_id=company_id)
        with contextlib.suppress(SupervisorError):
            await self._running.terminate_child(company_id)
        self._drop_company(company_id, keep_device=was_ours)

    def _has_actor(self, company_id: str) -> bool:
        if company_id not in self._states:
            return False
        try:
            self._running.child(company_id)
        except NoSuchActor:
            return False
        return True

    async def _start(self, company_id: str, *, running: bool) -> ActorRef:
        try:
            return await self._running.start_child(self._company_spec(company_id, running))
        except (AlreadyStarted, AlreadyPresent):  # this directory was restarted: learn the company's state
            ref = self._running.child(company_id)
            self.context.spawn(self._learn, company_id, ref, name="learn")
            return ref

    async def _learn(self, company_id: str, ref: ActorRef) -> None:
        try:
            status = await ref.ask(m.GetStatus(), timeout=STORAGE_S)
        except SupervisorError:
            return  # it reports its next transition itself
        await self.context.ref.send(m.StatusChanged(company_id, status.status, status.connected))
        if status.lease_epoch is not None:
            # The engine has the lease's real end (actors/engine/lease_deadline.py); here it counts from now until the next renewal.
            await self.context.ref.send(m.LeaseTaken(company_id, trio.current_time()))

    # --- finding ---

    def _find(self, company_id: str) -> ActorRef:
        try:
            return self._running.child(company_id)
        except NoSuchActor as error:
            if company_id in self._states or not self._is_loaded:
                # It is, or may be, on record: a caller would believe a reply of "no such company".
                raise m.Refused("restarting", f"{company_id} is being started", retry_after_s=1.0) from error
            raise m.Refused("no_such_company", f"there is no company {company_id}", company_id=company_id) from error

    async def _find_recorded(self, company_id: str) -> ActorRef:
        """Return the company's actor. Make it first for a company just recorded, as by an import or another daemon."""
        try:
            return self._find(company_id)
        except m.Refused as refused:
            with contextlib.suppress(StorageUnavailable), self._follower.changing(company_id):
                found = await companies.find(self._database, company_id) if refused.code == "no_such_company" else None
                if found is not None:
                    self._states.setdefault(company_id, m.CompanyState.STOPPED)
                    return await self._start(company_id, running=found.desired == "running")
            raise

    async def _answer_found(self, company_id: str, ref: ActorRef, reply: ReplyTo[Any]) -> None:
        """Reply with the actor, unless another daemon owns the company: then replies of the actor here would be wrong."""
        try:
            await leases.refuse_another(self._database, company_id, self._owner)
        except LeaseHeld as held:
            reply.fail(owned_elsewhere(held))
        except StorageError as error:
            if self._states.get(company_id) is m.CompanyState.ELSEWHERE:
                reply.fail(_storage_unavailable(f"whose company {company_id} is cannot be read: {error}"))
            else:
                reply.reply(ref)
        else:
            reply.reply(ref)

    async def _ensure(self, company_id: str) -> ActorRef:
        if not self._leases.holds(company_id):
            await self._claim_to_link(company_id)
        try:
            await self._revive(company_id)
            return self._running.child(company_id)
        except NoSuchActor:
            self._states[company_id] = m.CompanyState.STOPPED
            return await self._start(company_id, running=True)

    async def _claim_to_link(self, company_id: str) -> None:
        """Take the lease of a company that is to be linked, and record it as running. Change nothing for one that is linked."""
        try:
            await leases.refuse_another(self._database, company_id, self._owner)
            if await ownership.is_linked(self._database, company_id):
                raise m.Refused("already_linked", "the company is linked already; log it out first")
        except LeaseHeld as held:
            raise owned_elsewhere(held) from held
        except StorageUnavailable as error:
            raise _storage_unavailable("Postgres cannot be read now") from error
        await self._ask_storage(ClaimCompany(company_id, "running"))

    async def _revive(self, company_id: str) -> None:
        """Restart a company that used up its restarts."""
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
        """Remove a company under its lease. It is recorded as stopped first, because other daemons wait for the lease."""
        self._find(company_id)
        was_held = self._leases.holds(company_id)
        await self._ask_storage(ClaimCompany(company_id, "stopped"))
        await self._running.terminate_child(company_id)
        try:
            await self._ask_storage(ForgetRecord(company_id, "forgotten by an operator", give_back=not was_held))
        except m.Refused:
            await self._start(company_id, running=False)
            raise
        self._drop_company(company_id, keep_device=False)

    def _drop_company(self, company_id: str, *, keep_device: bool) -> None:
        for known in (self._states, self._healthy, self._desired):
            known.pop(company_id, None)
        self._leases.dropped(company_id)
        self._metrics.company_forgotten(company_id)
        if not keep_device:
            self.context.spawn(self._discard, company_id, name="discard")

    async def _discard(self, company_id: str) -> None:
        """Remove the device file, which the engine has open for a moment yet. If the company is made again meanwhile, it keeps the file."""
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
            raise _storage_unavailable("Postgres does not take writes now") from error

    # --- leases ---

    async def _renew(self) -> None:
        """Ask for renewals at each interval. `_CheckLeases` drops in time what cannot be renewed."""
        while True:
            await trio.sleep(self._renew_every_s)
            asked = self._leases.companies
            for pause_s in LOCKED_PAUSES_S:
                if asked:
                    await trio.sleep(pause_s)
                    asked = await self._renew_once(asked)

    async def _renew_once(self, asked: frozenset[str]) -> frozenset[str]:
        """Ask once. Return the companies whose rows were locked: nothing is known of their leases, so they should be asked for again."""
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
        """Tell companies of their renewal, a few at a time: a thousand messages to engines at once would delay every other message."""
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

    def _tell_company(
        self, company_id: str, news: m.LeaseExtended | m.LeaseWasLost | m.TakeUp | m.StandDown | m.DiskFailed
    ) -> None:
        with contextlib.suppress(m.Refused, SupervisorError):
            self._find(company_id).tell(news)


def _storage_unavailable(why: str) -> m.Refused:
    return m.Refused("storage_unavailable", why, retry_after_s=5.0)
