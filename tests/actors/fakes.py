"""Fakes with hooks for the collaborators of a company actor. The engine speaks the real protocol over an in-memory socket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import trio
import trio_websocket

from actors.company.link import EngineLink, LinkLost
from actors.company.ports import CompanyPorts
from actors.disk.state import DiskState
from actors.engine.protocol import messages as protocol
from actors.messages import Announce, AssignEngine, CompanyState, EngineSlot, Event, Publish, Refused, ReleaseEngine
from actors.storage.requests import AcquireLease, CheckWritable, CommitDelta, KeepMedia
from actors.versions.state import VersionState
from config.sections import CompanySettings
from storage.tables.auth_state import AuthState
from storage.tables.leases import Lease
from storage.tables.ownership import NotWanted
from supervisor import Actor, ActorRef

JID = "79000000001:1@s.whatsapp.net"


class RecordingActor(Actor):
    """Keeps every message it gets."""

    def __init__(self, seen: list[Any]) -> None:
        self._seen = seen

    async def receive(self, message: Any) -> Any:
        self._seen.append(message)


class FakeStorage(Actor):
    """Grants leases and commits deltas; ``hook`` may refuse by raising."""

    def __init__(self, seen: list[Any], hook: Callable[[Any], None], not_wanted: NotWanted | None) -> None:
        self._seen = seen
        self._hook = hook
        self._not_wanted = not_wanted

    async def receive(self, message: Any) -> Any:
        self._seen.append(message)
        self._hook(message)
        if isinstance(message, AcquireLease):
            return self._not_wanted or Lease(company_id=message.company_id, owner="me", epoch=1, ttl_s=60.0)
        return None


class FakePlacement(Actor):
    """Has two engines with room: one for linked companies, one for those that are being linked."""

    def __init__(self, seen: list[Any], versions: VersionState) -> None:
        self._seen = seen
        self._versions = versions

    async def receive(self, message: Any) -> Any:
        self._seen.append(message)
        if isinstance(message, AssignEngine):
            name = "engine-0" if message.hosts == "linked" else "pairing-0"
            version = self._versions.current.text
            return EngineSlot(
                engine=f"/engines/{name}",
                socket_path=f"{name}.sock",
                hosts=message.hosts,
                version=version,
            )
        assert isinstance(message, ReleaseEngine)
        return None


class MemorySocket:
    """What the company writes goes to the engine at once; the engine's messages wait to be read."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.to_company, self._inbound = trio.open_memory_channel[bytes](1000)

    async def send_message(self, message: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self._engine.socket is not self:
            raise trio_websocket.ConnectionClosed(None)
        self._engine.take(protocol.decode_to_engine(message))

    async def get_message(self) -> bytes:
        try:
            return await self._inbound.receive()
        except trio.EndOfChannel:
            raise trio_websocket.ConnectionClosed(None) from None


@dataclass
class FakeEngine:
    """A scripted engine process for one company. By default: a linked device, every call succeeds."""

    jid: str | None = JID
    file_id: str = "file-1"
    rebuilt: bool = False
    accepts: bool = True
    seen: list[protocol.ToEngine] = field(default_factory=list)
    opened: int = 0
    socket: MemorySocket | None = None
    hook: Callable[[protocol.ToEngine], list[protocol.Message] | None] = lambda message: None
    """Answers a message instead of the default; None: the default."""

    @asynccontextmanager
    async def open_link(self, socket_path: str, company_id: str) -> AsyncGenerator[EngineLink]:
        await trio.lowlevel.checkpoint()
        if not self.accepts:
            raise LinkLost("no engine process listens")
        self.opened += 1
        self.socket = MemorySocket(self)
        try:
            yield EngineLink(self.socket)
        finally:
            self.die()

    def die(self) -> None:
        """The process is gone."""
        if self.socket is not None:
            self.socket.to_company.close()
            self.socket = None

    def say(self, *messages: protocol.Message) -> None:
        """Send the company a message."""
        assert self.socket is not None
        for message in messages:
            if isinstance(message, protocol.Paired):
                self.jid = message.jid
            self.socket.to_company.send_nowait(protocol.encode(message))

    def take(self, message: protocol.ToEngine) -> None:
        self.seen.append(message)
        answers = self.hook(message)
        self.say(*(self._default(message) if answers is None else answers))

    def _default(self, message: protocol.ToEngine) -> list[protocol.Message]:
        match message:
            case protocol.Open():
                return [protocol.Opened(file_id=self.file_id, rebuilt=self.rebuilt, position=0, jid=self.jid, lid=None)]
            case protocol.Connect(call):
                done: list[protocol.Message] = [protocol.Done(call=call)]
                return [*done, protocol.Connected(jid=self.jid, lid=None)] if self.jid else done
            case protocol.SendText(call):
                return [
                    protocol.JournalDelta(position=7, creds=None, keys=(protocol.KeyRow("session", "x", b"1"),)),
                    protocol.Sent(call=call, message_id=f"3EB0{call:06X}", timestamp=1.0, position=7),
                ]
            case protocol.Ping(call) | protocol.Disconnect(call) | protocol.Logout(call):
                return [protocol.Done(call=call)]
            case _:
                return []

    def offers(self, code: str = "qr-1") -> None:
        """From now on offer a device without a phone a QR code when it connects, and a pairing code when it asks."""

        def answer(message: protocol.ToEngine) -> list[protocol.Message] | None:
            if isinstance(message, protocol.Connect) and self.jid is None:
                return [protocol.Done(call=message.call), protocol.Qr(codes=(code,), valid_s=60.0)]
            if isinstance(message, protocol.RequestPairingCode):
                return [protocol.PairingCode(call=message.call, code="ABCD-1234")]
            return None

        self.hook = answer

    def calls(self, kind: type[Any]) -> int:
        """How many messages of ``kind`` came."""
        return sum(isinstance(message, kind) for message in self.seen)


class NoMetrics:
    """Counts nothing but remembers states and errors."""

    def __init__(self) -> None:
        self.states: list[CompanyState] = []
        self.errors: list[str] = []

    def message_sent(self, company_id: str, seconds: float | None = None) -> None: ...
    def status_changed(self, company_id: str, status: CompanyState) -> None:
        self.states.append(status)

    def message_received(self, company_id: str) -> None: ...
    def qr_generated(self, company_id: str) -> None: ...
    def reconnect_failed(self, company_id: str) -> None: ...
    def reconnect_attempted(self, company_id: str) -> None: ...
    def error(self, code: str, company_id: str | None = None) -> None:
        self.errors.append(code)


@dataclass
class World:
    """Everything around one company actor, with hooks."""

    engine: FakeEngine = field(default_factory=FakeEngine)
    stored: list[Any] = field(default_factory=list)
    published: list[Any] = field(default_factory=list)
    directory: list[Any] = field(default_factory=list)
    knows_device: bool = True
    """Whether Postgres knows of the device in the engine's file."""
    placed: list[Any] = field(default_factory=list)
    """The messages that the company sent to placement."""
    storage_hook: Callable[[Any], None] = lambda message: None
    not_wanted: NotWanted | None = None
    """The reply to a lease request instead of a lease, when the record does not want the company to run."""
    settings: CompanySettings = field(default_factory=lambda: CompanySettings(start_jitter_s=0.0))

    disk: DiskState = field(default_factory=DiskState)
    versions: VersionState = field(default_factory=lambda: VersionState("auto", lambda: 1_000_000.0))
    metrics: NoMetrics = field(default_factory=NoMetrics)
    load_hook: Callable[[], None] = lambda: None
    """May raise the error of reading the auth state."""
    connect_gate: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(10))

    def ports(self, ref_to: Callable[[str], ActorRef]) -> CompanyPorts:
        async def load_auth(company_id: str) -> AuthState:
            self.load_hook()
            creds = b"{}" if self.engine.jid is not None and self.knows_device else None
            return AuthState(company_id=company_id, creds=creds, file_id=self.engine.file_id, position=0, keys=[])

        return CompanyPorts(
            storage=ref_to("/storage"),
            events=ref_to("/events"),
            directory=ref_to("/directory"),
            placement=ref_to("/placement"),
            open_link=self.engine.open_link,
            load_auth=load_auth,
            connect_gate=self.connect_gate,
            metrics=self.metrics,
            disk=self.disk,
            versions=self.versions,
            settings=self.settings,
            storage_timeout_s=10.0,
            engine_timeout_s=30.0,
            file_timeout_s=30.0,
            media_retention_s=60.0,
            random=Random(1),
            wall_clock=lambda: 1_000_000.0 + trio.current_time(),
            owner="me",
            proxy_of=lambda company_id: None,
            device_name="wasup",
        )

    def committed(self) -> list[int]:
        """Journal positions the storage actor was asked to commit."""
        return [message.delta.position for message in self.stored if isinstance(message, CommitDelta)]

    def event_types(self) -> list[str]:
        """Types of the published events, in order."""
        return [event.type for event in self.events()]

    def events(self) -> list[Event]:
        """The published events, in order."""
        return [
            event for message in self.published if isinstance(message, Publish | Announce) for event in message.events
        ]


def refuse_writes(message: Any) -> None:
    """A storage hook: Postgres is away."""
    if isinstance(message, CheckWritable | CommitDelta | KeepMedia):
        raise Refused("storage_unavailable", "away", retry_after_s=5.0)
