"""The company actor: one loop, one state record; it acts through its session and its ports."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, final

from actors.company import commands as orders
from actors.company import internal_messages as notices
from actors.company import outdated, ownership, passkeys
from actors.company import queries as inquiring
from actors.company.announcer import Announcer
from actors.company.disconnect_policy import Credentials, Outcome, classify
from actors.company.linking import Linking, linking_refusal
from actors.company.ports import CompanyPorts
from actors.company.retry import DISK_FIRST_S, Retry
from actors.company.session import Session
from actors.company.state_record import EvidenceLog, StateRecord
from actors.company.states import LINKING, OFFER_EXPIRED, PASSKEY_EXPIRED
from actors.company.status import phone_number_of, status_of
from actors.company.waiting import Waiters, wait_connected
from actors.engine.protocol import messages as protocol
from actors.messages import (
    AnswerPasskey,
    CheckContact,
    CheckHealth,
    CompanyState,
    ConfirmPasskey,
    DiskFailed,
    DownloadFile,
    GetGroup,
    GetOffer,
    GetPasskey,
    GetStatus,
    Initialize,
    LeaseExtended,
    LeaseWasLost,
    LeaveEngine,
    ListGroups,
    Logout,
    MarkRead,
    Refused,
    ReleaseEngine,
    RestartSession,
    SendContent,
    SendText,
    SetTyping,
    StandDown,
    StartSession,
    StatusChanged,
    StopSession,
    TakeUp,
    UploadFile,
    WaitConnected,
)
from config.doubling import doubled
from storage.tables.leases import Lease
from supervisor import CYCLED, Actor, ExitReason, Helper, ReplyTo, Timer
from supervisor.errors import ActorStopped, MailboxFull, SupervisorError

S = CompanyState
LINK_RETRY_FIRST_S = 0.2
LINK_RETRY_MOST_S = 10.0
STORAGE_FULL = "storage_full"
_NOT_OURS = frozenset({"owned_elsewhere", "lease_lost", "lease_expired", "not_wanted"})
"""Codes of sessions that ended without a lease to give back."""
STABLE_S = 10.0
"""A connection that held this long resets the count of failures; one that is dropped sooner adds to it."""


@dataclass(frozen=True, slots=True)
class RestingLease:
    """A lease that is renewed although no session runs."""

    lease: Lease
    has_left: bool
    """The company has certainly left WhatsApp: another daemon may take it over at once."""


@final
class CompanyActor(Actor):
    """Holds one company's WhatsApp session. Answers the company requests of `actors.messages`; see docs/ARCHITECTURE.md for its states."""

    def __init__(self, company_id: str, *, ports: CompanyPorts, running: bool = True) -> None:
        self.company_id = company_id
        self.ports = ports
        self.condition = StateRecord(
            S.STOPPED, "not started yet" if running else "stopped by an operator", ports.wall_clock(), 0
        )
        self.evidence = EvidenceLog()
        self.retry = Retry(ports.settings, ports.random)
        self.announcer = Announcer(company_id, ports.events, ports.wall_clock)
        self.session: Session | None = None
        self.resting: RestingLease | None = None
        """The lease held without a session: between two sessions, or while no phone is linked and no slot is needed."""
        self.linking: Linking | None = None
        self.phone_number: str | None = None
        self.lid: str | None = None
        self.next_attempt_at: float | None = None
        self.waiters = Waiters()
        self.sends_in_flight = 0
        self.inquiries_in_flight = 0
        self.archiving: list[ReplyTo[Any]] | None = None
        """The callers that wait for the identity to be archived; None when it is not being archived."""
        self.will_start = False
        """A session is about to be opened, for the first time or after a crash."""
        self._running = running
        self._session_number = 0
        self._session_task: Helper | None = None
        self._timer: Timer | None = None
        self._version_watch: Helper | None = None
        self._link_failures = 0
        self._pairing_pending: protocol.Connected | bool = False

    async def started(self) -> None:
        """Begin at once; "started" does not mean "connected". After a crash the session opens in any case: taking the lease tells
        whether the company is to run."""
        self.ports.metrics.status_changed(self.company_id, self.condition.state)
        if self.context.incarnation > 1:
            self.bring_up_within(0.0)
        elif self._running:
            self.bring_up_within(self.ports.settings.start_jitter_s)

    def bring_up_within(self, seconds: float) -> None:
        """Open a new session at a random moment within ``seconds``, unless an order comes first."""
        self.will_start = True
        self.context.after(self.ports.random.uniform(0.0, seconds), notices.BringUp(self._session_number))

    async def stopping(self, reason: ExitReason) -> None:
        """Ship what the engine still has, and give the lease back unless this daemon restarts the company at once."""
        await self.close_session(drain=True, give_back=reason.is_expected and reason != CYCLED)

    async def receive(self, message: Any) -> Any:
        match message:
            case notices.FromEngineNotice(session, from_engine):
                if session == self._session_number:
                    await self._on_engine(from_engine)
            case GetStatus():
                return status_of(self)
            case SendText() | SendContent():
                orders.send(self, message)
            case CheckContact() | ListGroups() | GetGroup() | MarkRead() | SetTyping() | UploadFile() | DownloadFile():
                inquiring.inquire(self, message)
            case WaitConnected(within_s):
                wait_connected(self, within_s)
            case CheckHealth():
                orders.check_health(self)
            case GetPasskey() | AnswerPasskey() | ConfirmPasskey():
                return passkeys.order(self, message)
            case Initialize() | GetOffer() | StartSession() | StopSession() | RestartSession() | Logout():
                return await self._on_order(message)
            case _:
                await self._on_notice(message)
        return None

    async def _on_order(self, message: Any) -> Any:
        match message:
            case Initialize():
                await orders.initialize(self, message)
            case GetOffer():
                return orders.current_offer(self)
            case StartSession():
                return await orders.start(self)
            case StopSession():
                await orders.stop(self)
                return status_of(self)
            case RestartSession():
                await orders.stop(self, give_back=False)
                return await orders.start(self)
            case _:
                orders.log_out(self)
        return None

    async def _on_notice(self, message: Any) -> None:
        match message:
            case notices.BringUp(session) if session == self._session_number:
                self.bring_up("taking up the session")
            case notices.TurnCame(session) if session == self._session_number:
                if self.condition.state is S.CONNECTING:
                    self.set_deadline(self.ports.settings.connect_timeout_s)
            case notices.SessionOpened(session, opened) if session == self._session_number:
                await self._on_opened(opened)
            case notices.SessionEnded(session, code, why, after) if session == self._session_number:
                await self._on_session_ended(code, why, after)
            case notices.MessagesStored(count):
                self._on_messages(count)
            case notices.PairingDurable(session) if session == self._session_number:
                await self._on_pairing_durable()
            case notices.LoggedOut(reply):
                orders.forget_identity(self, "logged out by an operator", reply)
            case notices.IdentityArchived():
                await orders.identity_archived(self)
            case notices.AttemptFailed(session, why, code) if session == self._session_number:
                self._settle()
                if code == STORAGE_FULL:
                    await self._wait_for_room(why)
                else:
                    self._fail_attempt(why)
            case notices.VersionChanged(session) if session == self._session_number:
                if self.condition.state is S.CONNECTING:
                    await self.move("goes on with another version")
            case notices.VersionDecided(serial, refused) if serial == self.condition.serial:
                await outdated.decided(self, refused)
            case notices.RetryDue(serial) if serial == self.condition.serial:
                await self._on_retry_due()
            case notices.DeadlineReached(serial) if serial == self.condition.serial:
                await self._on_deadline()
            case TakeUp(is_linked):
                ownership.take_up(self, is_linked=is_linked)
            case StandDown():
                ownership.stand_down(self)
            case LeaveEngine():
                await self._leave_engine()
            case LeaseExtended(until):
                if self.session is not None:
                    await self.session.extend_lease(until)
            case DiskFailed(reason):
                await self._on_disk_failed(reason)
            case LeaseWasLost(why, elsewhere):
                await self.close_session(drain=False)
                await self._on_session_ended("lease_lost" if elsewhere else "lease_expired", why, None)
            case _:
                return  # news of an earlier session or state

    # --- the state ---

    def enter(self, state: CompanyState, reason: str, code: str | None = None) -> None:
        """Go to ``state``; every transition is an event, a metric and a notice to the directory. ``code``: see `StateRecord.code`."""
        now = self.ports.wall_clock()
        before, self.condition = self.condition, self.condition.followed_by(state, reason, now, code)
        self.next_attempt_at = None
        self.waiters.tell()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if state not in (*LINKING, S.CONNECTING) and self.linking is not None:
            self.linking.fail(Refused(code or "whatsapp_unreachable", reason))
            self.linking = None
        if before.state is not state:
            self.ports.metrics.status_changed(self.company_id, state)
            self.announcer.transition(before.state, state, reason)
            self._tell_directory()

    def _tell_directory(self) -> None:
        state = self.condition.state
        try:
            self.ports.directory.tell(StatusChanged(self.company_id, state, state is S.CONNECTED))
        except (MailboxFull, ActorStopped):
            return  # after a restart the directory asks for the status itself

    def set_deadline(self, seconds: float) -> None:
        """Limit the present state to ``seconds``."""
        self._timer = self.context.after(seconds, notices.DeadlineReached(self.condition.serial))

    def wait_for_retry(self, state: CompanyState, reason: str, seconds: float, code: str | None = None) -> None:
        """Enter ``state`` and try again after ``seconds``."""
        self.enter(state, reason, code)
        self.next_attempt_at = self.ports.wall_clock() + seconds
        self._timer = self.context.after(seconds, notices.RetryDue(self.condition.serial))

    def watch_versions(self, refused: str) -> None:
        """Leave the present state once it is decided what to do about the version ``refused``."""
        if self._version_watch is not None:
            self._version_watch.cancel()
        self._version_watch = self.context.spawn(outdated.watch, self, refused, self.condition.serial, name="version")

    # --- the disk ---

    async def _on_disk_failed(self, reason: str) -> None:
        """Leave WhatsApp, which keeps new messages until the disk takes writes again."""
        if self.condition.state not in (*LINKING, S.CONNECTING, S.CONNECTED, S.RECONNECTING):
            return
        if self.session is not None:
            self.context.spawn(self.session.disconnect, name="disconnect")
        self._settle()
        await self._wait_for_room(reason)

    async def _wait_for_room(self, reason: str, seconds: float = DISK_FIRST_S) -> None:
        if self.condition.state in LINKING:
            if self.linking is not None:
                self.linking.fail(Refused(STORAGE_FULL, reason))
                self.linking = None
            await self._rest_unlinked(reason)
            return
        if self.ports.disk.fault is None:
            self.ports.disk.doubt()
        if self.condition.state is not S.SUSPENDED:
            self.ports.metrics.error(STORAGE_FULL, self.company_id)
        self.wait_for_retry(S.SUSPENDED, reason, seconds, STORAGE_FULL)

    async def _on_retry_due(self) -> None:
        fault = self.ports.disk.fault
        if self.condition.code == STORAGE_FULL and fault is not None:
            await self._wait_for_room(fault)
        else:
            await self.try_again("trying again")

    # --- the session ---

    def bring_up(self, reason: str, *, discard: bool = False) -> None:
        """Open a new session; there must be none."""
        assert self.session is None
        self.will_start = False
        self._session_number += 1
        self._pairing_pending = False  # an earlier session ended before its pairing was announced
        self.enter(S.CONNECTING, reason)
        self.session = Session(
            self.company_id, self._session_number, ports=self.ports, actor=self.context.ref, discard=discard
        )
        if self.resting is not None:  # the session acquires it again; if it ends before, it gives this one back
            self.session.lease, self.resting = self.resting.lease, None
        self._session_task = self.context.spawn(self.session.run, name="session")

    async def close_session(self, *, drain: bool, give_back: bool = True, keep_lease: bool = False) -> None:
        """End the session; with ``drain``, wait (bounded) until everything it had to ship is committed.

        The lease is given back only when the company has certainly left WhatsApp, since another daemon could take over too early
        otherwise, and only with ``give_back``: a company that comes back at once keeps its lease, for which other daemons wait.
        With ``keep_lease`` the lease is renewed further.
        """
        session, task = self.session, self._session_task
        self.session = self._session_task = None
        self.will_start = False
        self.waiters.tell()
        self._session_number += 1
        resting = self.resting
        if session is not None and task is not None:
            session.is_ending = True
            has_left = await session.drain() if drain else False
            task.cancel()
            session.leave_place()
            resting = None if session.lease is None else RestingLease(session.lease, has_left)
        self.resting = resting if keep_lease else None
        if resting is not None and not keep_lease:
            await orders.release(resting.lease, self.ports, give_back=resting.has_left and give_back)

    async def move(self, reason: str) -> None:
        """Open the session anew in an engine process that placement chooses; the lease is kept meanwhile."""
        await self.close_session(drain=True, keep_lease=True)
        self.bring_up(reason)

    async def _rest_unlinked(self, reason: str) -> None:
        """Leave the engine process while no phone is linked: only the end of that process frees what the attempt to link left behind."""
        self.enter(S.UNLINKED, reason)
        await self.close_session(drain=True, keep_lease=True)

    async def _leave_engine(self) -> None:
        """Leave a worn engine process. A company that is logging in or being linked stays: it is asked again soon."""
        if self.session is None:
            with contextlib.suppress(SupervisorError):
                self.ports.placement.tell(ReleaseEngine(self.company_id))
        elif self.condition.state is S.CONNECTED:
            await self.move("its engine process is being replaced")
        elif self.condition.state not in (*LINKING, S.CONNECTING):
            await self.close_session(drain=True, keep_lease=True)  # the next attempt opens a new one

    async def _on_opened(self, opened: protocol.Opened) -> None:
        self._link_failures = 0
        self.phone_number, self.lid = phone_number_of(opened.jid), opened.lid
        if opened.jid is not None:  # the session connects; Connected or Closed follows
            if self.linking is not None:
                self.linking.fail(Refused("already_linked", "the company is linked already; log it out first"))
                self.linking = None
        elif self.linking is not None:
            orders.offer(self)
        else:
            await self._rest_unlinked("no phone is linked")

    async def _on_session_ended(self, code: str, why: str, retry_after_s: float | None) -> None:
        lease = self.session.lease if self.session is not None else None
        if lease is not None and code not in _NOT_OURS:
            self.resting = RestingLease(lease, has_left=False)
        elif lease is not None:  # taken over from the session before: stop renewing it
            await orders.release(lease, self.ports, give_back=False)
        self.session = self._session_task = None
        self._session_number += 1
        if self.condition.state not in (*LINKING, S.CONNECTING, S.CONNECTED):
            return  # at rest, or waiting for its next attempt, which opens a new session
        if self.linking is not None:
            self.linking.fail(Refused(linking_refusal(code), why, retry_after_s=retry_after_s))
            self.linking = None
        if code in ("owned_elsewhere", "lease_lost"):
            self.enter(S.ELSEWHERE, why)
            return
        if code == "not_wanted":
            self.enter(S.STOPPED, why)
            return
        if code == STORAGE_FULL:
            await self._wait_for_room(why)
            return
        self.ports.metrics.error(code, self.company_id)
        if code == "auth_unreadable":
            # No quick retry: an operator has to look (promise 4: it is not "no credentials").
            self.announcer.announce("error", code=code)
            self.wait_for_retry(S.SUSPENDED, why, self.ports.settings.circuit_min_s)
            return
        self._link_failures += 1
        bound = doubled(LINK_RETRY_FIRST_S, LINK_RETRY_MOST_S, self._link_failures)
        self.wait_for_retry(S.RECONNECTING, why, self.ports.random.uniform(0.0, bound))

    # --- WhatsApp ---

    async def _on_engine(self, message: protocol.FromEngine) -> None:
        match message:
            case protocol.Connected():
                await self._on_connected(message)
            case protocol.Closed():
                await self._on_closed(classify(message), message)
            case protocol.Qr():
                orders.show_qr(self, message)
            case protocol.Paired():
                self._on_paired(message)
            case protocol.HandedOver(jid, lid):
                self.phone_number, self.lid = phone_number_of(jid), lid
                await self.move("linked: goes on among the linked companies")
            case protocol.PasskeyWanted() | protocol.PasskeyCode() | protocol.PasskeyFailed():
                passkeys.take(self, message)
            case protocol.KeepAlive(ok=False, errors=errors):
                self.announcer.announce("error", code="keep_alive", errors=errors)
            case _:
                return

    async def _on_connected(self, connected: protocol.Connected) -> None:
        self.phone_number, self.lid = phone_number_of(connected.jid), connected.lid or self.lid
        if self._pairing_pending:  # promise 3: announced once its credentials are committed
            self._pairing_pending = connected
            return
        if self.session is not None and self.session.is_among_pairings:
            await self.move("linked: goes on among the linked companies")
            return
        self.evidence.connected()
        self.ports.versions.accepted(outdated.version_of(self))
        self._settle()
        was_connected = self.condition.state is S.CONNECTED
        self.enter(S.CONNECTED, "logged in")
        if not was_connected:
            self.announcer.announce("connected", phoneNumber=self.phone_number, lid=self.lid)

    def _settle(self) -> None:
        if self.session is not None:
            self.session.settled.set()

    def _on_paired(self, paired: protocol.Paired) -> None:
        self._pairing_pending = True
        session = self.session
        assert session is not None
        self.enter(S.CONNECTING, "the phone accepted this device")
        self.set_deadline(self.ports.settings.connect_timeout_s)
        self.context.spawn(orders.announce_pairing, session, paired.position, self.context.ref, name="pairing")

    async def _on_pairing_durable(self) -> None:
        connected, self._pairing_pending = self._pairing_pending, False
        if isinstance(connected, protocol.Connected):
            await self._on_connected(connected)

    async def _on_closed(self, verdict: Outcome, closed: protocol.Closed) -> None:
        was_pairing = self.condition.state in LINKING
        self._pairing_pending = False
        self._settle()
        version = outdated.version_of(self)
        is_refused = verdict.state is S.OUTDATED and closed.code == 405
        if is_refused:
            self.ports.versions.refused(version)
        if closed.kind == STORAGE_FULL:
            self._forget_failures_when_stable()
            await self._wait_for_room(verdict.reason, self.retry.after_full_disk())
        elif verdict.credentials is Credentials.ARCHIVE:
            orders.forget_identity(self, verdict.reason)
        elif was_pairing and self.session is not None and self.session.has_shipped:
            # The device was not accepted in the end: its stored state must not be taken for that of a linked device.
            orders.forget_identity(self, verdict.reason)
        elif was_pairing or (verdict.state is S.UNLINKED and self.phone_number is None):
            await self._rest_unlinked(verdict.reason)
        elif is_refused:
            await outdated.refused(self, version)
        elif verdict.state is S.CONFLICT:
            self.wait_for_retry(S.CONFLICT, verdict.reason, self.retry.after_conflict())
        elif verdict.state is S.BANNED and closed.expires_in_s is not None:
            self.wait_for_retry(S.BANNED, verdict.reason, closed.expires_in_s)
        elif verdict.retry or verdict.state is S.UNLINKED:
            self._fail_attempt(verdict.reason)
        else:
            self.ports.metrics.error(verdict.state.value, self.company_id)
            self.enter(verdict.state, verdict.reason)

    def _fail_attempt(self, why: str) -> None:
        if self.condition.state not in (S.CONNECTING, S.CONNECTED, S.RECONNECTING):
            return
        if self.condition.state is S.CONNECTED:
            self._forget_failures_when_stable()
        else:
            self.ports.metrics.reconnect_failed(self.company_id)
            self.announcer.announce("reconnect_failed", reason=why, attempts=self.retry.failures + 1)
        state, wait_s = self.retry.after_failure()
        self.wait_for_retry(state, why, wait_s)

    def _forget_failures_when_stable(self) -> None:
        if self.condition.state is S.CONNECTED and self.ports.wall_clock() - self.condition.since >= STABLE_S:
            self.retry.succeeded()

    async def try_again(self, reason: str) -> None:
        """Log in again; in a new session when there is none, or when its engine process is for pairing or announces an old version."""
        self.ports.metrics.reconnect_attempted(self.company_id)
        if self.session is not None and (self.session.is_among_pairings or outdated.is_stale(self)):
            await self.close_session(drain=True, keep_lease=True)
        if self.session is None:
            self.bring_up(reason)
            return
        self.enter(S.CONNECTING, reason)
        self.context.spawn(self.session.reconnect, name="connect")

    async def _on_deadline(self) -> None:
        if self.condition.state in LINKING:
            expired = OFFER_EXPIRED if self.condition.state is S.PAIRING else PASSKEY_EXPIRED
            await self._rest_unlinked(expired)
        elif self.phone_number is None and self.linking is not None:
            await self._rest_unlinked("WhatsApp offered no code in time")
        else:
            if self.session is not None:
                self.context.spawn(self.session.disconnect, name="disconnect")
            self._fail_attempt(f"not connected within {self.ports.settings.connect_timeout_s:.0f} s")

    def _on_messages(self, count: int) -> None:
        self.evidence.message()
        for _ in range(count):
            self.ports.metrics.message_received(self.company_id)
