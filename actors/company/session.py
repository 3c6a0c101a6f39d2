"""One engine connection of a company, from the lease to the last message; runs as a helper task of the company actor."""

from __future__ import annotations

import contextlib
import time
from contextlib import AsyncExitStack
from typing import final

import trio

from actors.company.inbox import Inbox
from actors.company.internal_messages import (
    AttemptFailed,
    FromEngineNotice,
    SessionEnded,
    SessionOpened,
    TurnCame,
    VersionChanged,
)
from actors.company.link import EngineLink, EngineRefused, LinkLost
from actors.company.ports import CompanyPorts
from actors.company.shipping import Shipment, ShippingStopped
from actors.daemon.exceptions import first_leaf
from actors.engine.protocol import messages as protocol
from actors.messages import AssignEngine, EngineFull, EngineSlot, Hosts, LeaseTaken, Refused, ReleaseEngine
from actors.storage.requests import AcquireLease, CommitDelta
from storage.errors import StorageUnavailable, UnreadableState
from storage.tables.auth_state import AuthState, Delta, KeyChange
from storage.tables.leases import Lease, usable_s
from storage.tables.ownership import NotWanted
from supervisor import ActorRef
from supervisor.errors import SupervisorError

COMMIT_RETRY_S = 0.5
AUTH_CHUNK_KEYS = 500
TELL_LEASE_S = 1.0
TURN_S = 10.0
"""The longest that a log-in delays the next company's turn; after that it continues concurrently."""


class Ended(Exception):
    """Why a session cannot go on."""

    def __init__(self, code: str, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.code = code
        self.why = why
        self.retry_after_s = retry_after_s


@final
class Session:
    """Takes the lease and a slot in an engine process, has the device file made ready, connects when it is linked.

    Sends the actor one `SessionOpened`, then a `FromEngineNotice` for each message, at the end one `SessionEnded`.
    """

    def __init__(self, company_id: str, number: int, *, ports: CompanyPorts, actor: ActorRef, discard: bool) -> None:
        self.company_id = company_id
        self.number = number
        self.lease: Lease | None = None
        self.slot: EngineSlot | None = None
        self.link: EngineLink | None = None
        self.shipment: Shipment | None = None
        self._ports = ports
        self._actor = actor
        self._discard = discard
        self.settled = trio.Event()
        """Set by the actor when the present attempt to log in has succeeded or failed."""
        self.is_ending = False
        """Set by the actor before it ends the session: a log-in that waits for its turn is then dropped."""
        self.lease_until = 0.0
        """On trio's clock."""
        self._file_id = ""

    async def run(self) -> None:
        """Run until the connection ends; expected failures are reported to the actor, not raised."""
        ended = Ended("engine_lost", "the engine connection ended")
        try:
            await self._live()
        except* LinkLost as lost:
            ended = Ended("engine_lost", str(first_leaf(lost)))
        except* EngineRefused as refused:
            first = first_leaf(refused)
            assert isinstance(first, EngineRefused)
            ended = Ended(first.code, first.text)
        except* Ended as group:
            first = first_leaf(group)
            assert isinstance(first, Ended)
            ended = first
        except* UnreadableState as unreadable:
            ended = Ended("auth_unreadable", str(first_leaf(unreadable)))
        except* StorageUnavailable as unavailable:
            ended = Ended("storage_unavailable", str(first_leaf(unavailable)))
        except* SupervisorError as gone:
            ended = Ended("unavailable", f"a collaborator did not answer: {first_leaf(gone)}")
        finally:
            self.link = None
            self.settled.set()
        await self._actor.send(SessionEnded(self.number, ended.code, ended.why, ended.retry_after_s))

    async def _live(self) -> None:
        self.lease = await self._take_lease()
        async with AsyncExitStack() as gate:
            await gate.enter_async_context(self._ports.connect_gate)
            await self._actor.send(TurnCame(self.number))
            state = await self._ports.load_auth(self.company_id)
            hosts: Hosts = "pairing" if state.creds is None else "linked"
            if not await self._stay(hosts, state, gate):  # the record and the device file disagree: the file is right
                await self._stay("linked" if hosts == "pairing" else "pairing", state, gate)

    async def _stay(self, hosts: Hosts, state: AuthState, gate: AsyncExitStack) -> bool:
        """Stay in an engine process of that kind until the connection ends; return False at once when the device needs the other kind."""
        self.slot = await self._take_slot(hosts)
        opening = self._ports.open_link(self.slot.socket_path, self.company_id)
        async with opening as link, trio.open_nursery() as nursery:
            opened = await self._open_device(link, state)
            if (opened.jid is None) is (hosts == "linked"):
                return False
            await self._begin(link, opened, nursery)
            await gate.aclose()  # the next company's turn; the nursery goes on reading
        return True

    @property
    def is_among_pairings(self) -> bool:
        """Whether its engine process is for companies that are being linked, which the company must leave once it is linked."""
        return self.slot is not None and self.slot.hosts == "pairing"

    async def _begin(self, link: EngineLink, opened: protocol.Opened, nursery: trio.Nursery) -> None:
        """Start reading; when the device is linked, wait (bounded) until the first attempt to log in has succeeded or failed."""
        self.link = link
        nursery.start_soon(self._read, link)
        await self.extend_lease(self.lease_until)  # the lease may have been renewed while the device was made ready
        await self._actor.send(SessionOpened(self.number, opened))
        if opened.jid is not None:
            await self._log_in()

    @property
    def has_shipped(self) -> bool:
        """Whether this session has had any auth state to store."""
        return self.shipment is not None and self.shipment.has_taken

    async def reconnect(self) -> None:
        """Log in again when it is this company's turn: companies that lost WhatsApp together would slow each other down."""
        self.settled = trio.Event()
        async with self._ports.connect_gate:
            if self.link is None or self.is_ending:
                return
            if self.slot is not None and self._ports.versions.is_stale(self.slot.version):
                await self._actor.send(VersionChanged(self.number))
            else:
                await self._actor.send(TurnCame(self.number))
                await self._log_in()

    async def _log_in(self) -> None:
        await self.connect()
        with trio.move_on_after(TURN_S):
            await self.settled.wait()

    async def connect(self) -> None:
        """Have the engine log in or offer QR codes; a refusal reaches the actor as `AttemptFailed`."""
        if self.link is None:
            return
        try:
            await self.link.call(
                lambda call: protocol.Connect(call=call), timeout_s=self._ports.settings.connect_timeout_s
            )
        except EngineRefused as error:
            await self._actor.send(AttemptFailed(self.number, error.text, error.code))
        except LinkLost:
            return  # `run` reports the session's end

    async def disconnect(self) -> None:
        """Have the engine leave WhatsApp; the connection to the engine stays."""
        if self.link is None:
            return
        with contextlib.suppress(LinkLost, EngineRefused):
            await self.link.call(
                lambda call: protocol.Disconnect(call=call), timeout_s=self._ports.settings.stop_timeout_s
            )

    async def extend_lease(self, until: float) -> None:
        """Extend the lease deadline to ``until`` here and in the engine, which leaves WhatsApp by itself when it passes."""
        self.lease_until = max(self.lease_until, until)
        if self.link is not None:
            with contextlib.suppress(LinkLost), trio.move_on_after(TELL_LEASE_S):
                await self.link.tell(protocol.LeaseExtended(until=_monotonic(self.lease_until)))

    async def _take_lease(self) -> Lease:
        asked_at = trio.current_time()
        try:
            lease = await self._ports.storage.ask(AcquireLease(self.company_id), timeout=self._ports.storage_timeout_s)
        except Refused as error:
            raise Ended(error.code, error.text, error.retry_after_s) from error
        if isinstance(lease, NotWanted):
            raise Ended("not_wanted", "not on record any more" if lease.desired is None else "stopped by an operator")
        self.lease_until = asked_at + usable_s(lease.ttl_s)
        await self._ports.directory.send(LeaseTaken(self.company_id, asked_at))
        return lease

    async def _take_slot(self, hosts: Hosts) -> EngineSlot:
        request = AssignEngine(self.company_id, hosts)
        try:
            return await self._ports.placement.ask(request, timeout=self._ports.engine_timeout_s)
        except Refused as error:
            raise Ended(error.code, error.text, error.retry_after_s) from error

    async def _open_device(self, link: EngineLink, state: AuthState) -> protocol.Opened:
        request = protocol.Open(
            company_id=self.company_id,
            file_id=state.file_id,
            position=state.position,
            proxy=self._ports.proxy_of(self.company_id),
            device_name=self._ports.device_name,
            discard_file=self._discard,
            lease_until=_monotonic(self.lease_until),
        )
        # A full engine refuses before it is asked and closes. Its answer can still be read, and placement must hear of it
        # (tests/actors/company/test_connecting.py).
        with contextlib.suppress(LinkLost):
            await link.tell(request)
        answer = await link.receive()
        if isinstance(answer, protocol.NeedAuthState):
            await _send_auth_state(link, state)
            answer = await link.receive()
        if isinstance(answer, protocol.OpenRefused):
            if answer.code == "engine_full":
                self._tell_placement(EngineFull(self.company_id))
            raise Ended(answer.code, answer.text)
        if not isinstance(answer, protocol.Opened):
            raise LinkLost(f"the engine answered Open with {type(answer).__name__}")
        self._file_id = answer.file_id
        self.shipment = Shipment(self._commit, state.position if answer.file_id == state.file_id else 0)
        return answer

    async def _read(self, link: EngineLink) -> None:
        assert self.shipment is not None
        inbox = Inbox(
            self.company_id,
            shipment=self.shipment,
            ports=self._ports,
            actor=self._actor,
            link=link,
            file_id=self._file_id,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.shipment.run)
            nursery.start_soon(inbox.run)
            await link.run(lambda message: self._take(message, inbox))

    async def _take(self, message: protocol.FromEngine, inbox: Inbox) -> None:
        assert self.shipment is not None
        match message:
            case protocol.OpenRefused(code, text):  # it was open and cannot stay open
                raise Ended(code, text)
            case protocol.JournalDelta():
                await self.shipment.put(message)
            case protocol.OutboxEvent():
                await inbox.put(message)
            case _:
                await self._actor.send(FromEngineNotice(self.number, message))

    async def _commit(self, journal: protocol.JournalDelta) -> None:
        """Commit one delta, retrying while Postgres is away until the lease ends."""
        assert self.lease is not None
        assert self.shipment is not None
        delta = Delta(
            company_id=self.company_id,
            owner=self.lease.owner,
            epoch=self.lease.epoch,
            file_id=self._file_id,
            position=journal.position,
            creds=journal.creds,
            changes=tuple(KeyChange(row.key_type, row.key_id, row.value) for row in journal.keys),
            base=journal.base,
            after=self.shipment.committed,
        )
        while not await self._committed(delta):
            await trio.sleep(COMMIT_RETRY_S)
        if self.link is not None:
            await self.link.tell(protocol.Committed(position=journal.position))

    async def _committed(self, delta: Delta) -> bool:
        try:
            await self._ports.storage.ask(CommitDelta(delta), timeout=self._ports.storage_timeout_s)
        except Refused as error:
            if error.code in ("lease_lost", "storage_rejected"):
                raise Ended(error.code, error.text) from error
            return False
        except SupervisorError:  # the storage actor was restarted, is full or slow: repeating a delta is harmless
            return False
        return True

    async def drain(self) -> bool:
        """Leave WhatsApp and wait (bounded) until everything the engine had to ship is committed. A lost engine raises nothing.

        Return True when the company has certainly left WhatsApp.
        """
        if self.slot is None:
            return True
        link, shipment = self.link, self.shipment
        if link is None or shipment is None:
            return False
        has_left = False
        with trio.move_on_after(self._ports.settings.stop_timeout_s):
            try:
                await link.call(
                    lambda call: protocol.Disconnect(call=call), timeout_s=self._ports.settings.stop_timeout_s
                )
                has_left = True
                await shipment.wait_all_committed()
            except (LinkLost, EngineRefused, ShippingStopped):
                return has_left
        return has_left

    def leave_place(self) -> None:
        """Give the slot in the engine process back."""
        self._tell_placement(ReleaseEngine(self.company_id))

    def _tell_placement(self, notice: ReleaseEngine | EngineFull) -> None:
        with contextlib.suppress(SupervisorError):  # full or gone: placement learns it a little later
            self._ports.placement.tell(notice)


def _monotonic(at: float) -> float:
    """Convert a time on trio's clock to the machine's monotonic clock, which other processes share."""
    return time.monotonic() + (at - trio.current_time())


async def _send_auth_state(link: EngineLink, state: AuthState) -> None:
    rows = [protocol.KeyRow(*row) for row in state.keys]
    chunks = [rows[start : start + AUTH_CHUNK_KEYS] for start in range(0, len(rows), AUTH_CHUNK_KEYS)] or [[]]
    for number, chunk in enumerate(chunks, start=1):
        await link.tell(
            protocol.AuthStateChunk(
                creds=state.creds if number == 1 else None, keys=tuple(chunk), last=number == len(chunks)
            )
        )
