"""The fakes behind the routes: their state is in `World`, which a test can read and change through hooks."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import trio

from actors import messages as m
from actors.daemon.metrics import Metrics
from actors.engine.protocol.contents import StoredFile
from actors.engine.protocol.orders import GroupDescription, GroupMember
from actors.events.hub import Filter, Hub
from actors.events.subscription import Subscription
from actors.http.access.audit import AuditEntry
from actors.http.access.auth import Principal
from actors.http.model.problems import Problem
from actors.http.services.idempotency import Remembered
from actors.http.services.transfers import KnownFile
from actors.http.services.webhook_service import WebhookStore
from storage.errors import StorageUnavailable
from storage.tables.audit import AuditRecord
from supervisor import Actor, ActorRef, ChildSpec, SupervisorRef
from supervisor.errors import NoSuchActor
from tests.http.webhook_fakes import MemoryWebhooks

NOW = 1_790_000_000.0
GROUP = GroupDescription(
    jid="120363000000000001@g.us",
    subject="Sales",
    description="",
    owner="100000000000001@lid",
    announcement=False,
    locked=False,
    members=(GroupMember("100000000000001@lid", "79000000001@s.whatsapp.net", "100000000000001@lid", True, True),),
)


@dataclass
class Company:
    """The state and the behaviour of a fake company."""

    company_id: str
    state: m.CompanyState = m.CompanyState.CONNECTED
    sent: list[m.SendText] = field(default_factory=list[m.SendText])
    contents: list[m.SendContent] = field(default_factory=list[m.SendContent])
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """WhatsApp's files, by path."""
    asked: list[Any] = field(default_factory=list[Any])
    offer: m.Offer | None = None
    healthy: bool = True
    on_ask: Callable[[Any], Awaitable[None]] | None = None
    """Runs before a request is answered; may wait or raise."""

    def check_connected(self) -> None:
        """Refuse as a company does when it is not connected."""
        text = f"the company is {self.state.value}: as the test wants it"
        if self.state in (m.CompanyState.CONNECTING, m.CompanyState.RECONNECTING):
            raise m.Refused("reconnecting", text, retry_after_s=2.0)
        if self.state is not m.CompanyState.CONNECTED:
            raise m.Refused("no_active_session", text)


@dataclass
class World:
    """Everything a test can read or change."""

    companies: dict[str, Company] = field(default_factory=dict[str, Company])
    desired: dict[str, str] = field(default_factory=dict[str, str])
    is_away_after_removal: bool = False
    erased: list[str] = field(default_factory=list[str])
    forgotten: list[str] = field(default_factory=list[str])
    tokens: dict[str, int] = field(default_factory=dict[str, int])
    lookups: dict[str, int] = field(default_factory=dict[str, int])
    orders: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    limit: int = 30
    ready: bool = True
    hub: Hub = field(default_factory=lambda: Hub(max_feeds=10, feed_capacity=1000))
    log: list[m.Event] = field(default_factory=list[m.Event])
    keys: dict[bytes, Principal] = field(default_factory=dict[bytes, Principal])
    kept: dict[tuple[str, str], Remembered] = field(default_factory=dict[tuple[str, str], Remembered])
    media: dict[tuple[str, str], KnownFile] = field(default_factory=dict[tuple[str, str], KnownFile])
    audit: list[AuditEntry] = field(default_factory=list[AuditEntry])
    revoked: set[str] = field(default_factory=set[str])
    webhooks: WebhookStore = field(default_factory=MemoryWebhooks)
    key_lookups: int = 0
    storage_is_away: bool = False
    media_is_unreadable: bool = False
    on_read: Callable[[int], None] | None = None
    """Runs before the log of events is read, with the ``after`` asked for; may raise."""

    def add_key(self, key: str, *companies: str) -> None:
        """A key for these companies, of scope admin for none."""
        only = frozenset(companies) if companies else None
        self.keys[hashlib.sha256(key.encode()).digest()] = Principal(key.split("_")[1], only)

    def revoke(self, key: str) -> None:
        """As `wasup keys revoke` does in the database."""
        self.revoked.add(self.keys.pop(hashlib.sha256(key.encode()).digest()).key_id)

    def publish(self, company_id: str, kind: str, **payload: object) -> m.Event:
        """Store and publish one more event."""
        event = m.Event(
            id=f"event-{len(self.log) + 1}",
            seq=len(self.log) + 1,
            type=kind,
            company_id=company_id,
            timestamp=NOW,
            payload=msgspec.Raw(msgspec.json.encode(payload)),
        )
        self.log.append(event)
        self.hub.broadcast([event])
        return event

    def check_storage(self) -> None:
        """Fail as the database does."""
        if self.storage_is_away:
            raise StorageUnavailable("the fake database is away")

    def check_storage_or_refuse(self) -> None:
        """Fail as an actor in front of it does."""
        if self.storage_is_away:
            raise m.Refused("storage_unavailable", "the fake database is away", retry_after_s=5.0)


class FakeCompany(Actor):
    def __init__(self, company: Company) -> None:
        self.company = company

    async def receive(self, message: Any) -> Any:
        self.company.asked.append(message)
        if self.company.on_ask is not None:
            await self.company.on_ask(message)
        match message:
            case m.SendText():
                self.company.sent.append(message)
                message_id = f"3EB0{len(self.company.sent):018d}"
                return m.Sent(
                    company_id=self.company.company_id, phone=message.phone, message_id=message_id, timestamp=NOW
                )
            case m.SendContent():
                self.company.contents.append(message)
                message_id = f"3EB1{len(self.company.contents):018d}"
                return m.Sent(
                    company_id=self.company.company_id, phone=message.phone, message_id=message_id, timestamp=NOW
                )
            case m.UploadFile(path, kind):
                data = await trio.Path(path).read_bytes()
                name = hashlib.sha256(data).hexdigest()
                self.company.files[f"/v/{name}"] = data
                key = bytes(32)
                return StoredFile(
                    kind=kind,
                    direct_path=f"/v/{name}",
                    media_key=key,
                    file_sha256=key,
                    file_enc_sha256=key,
                    size=len(data),
                )
            case m.DownloadFile(file, path):
                await trio.Path(path).write_bytes(self.company.files[file.direct_path])
                return None
            case m.CheckContact(jid):
                known = jid.partition("@")[0].endswith("02")
                return m.ContactReport(on_whatsapp=known, id=jid if known else None, lid=None)
            case m.ListGroups() | m.GetGroup():
                return (GROUP,)
            case m.MarkRead() | m.SetTyping():
                return None
            case m.Initialize(method, _):
                return self._offer(method)
            case m.GetOffer():
                if self.company.offer is None:
                    raise m.Refused("no_qr", "no QR code is on offer")
                return self.company.offer
            case m.CheckHealth():
                return self._health()
            case m.WaitConnected():
                self.company.check_connected()
                return None
            case m.GetPasskey() | m.AnswerPasskey() | m.ConfirmPasskey():
                return self._passkey()
            case m.StartSession():
                self.company.state = m.CompanyState.CONNECTED
            case m.StopSession():
                self.company.state = m.CompanyState.STOPPED
            case m.Logout():
                if self.company.state is m.CompanyState.UNLINKED:
                    raise m.Refused("not_linked", "the company is not linked")
                self.company.state = m.CompanyState.UNLINKED
            case _:
                pass
        return self._status()

    def _passkey(self) -> m.Passkey:
        options = msgspec.Raw(b'{"challenge":"q83vASNFZ4k","rpId":"whatsapp.com"}')
        origin = "https://web.whatsapp.com"
        return m.Passkey(
            company_id=self.company.company_id, step="response", options=options, origin=origin, expires_at=NOW
        )

    def _offer(self, method: Any) -> m.Offer:
        if self.company.state is m.CompanyState.CONNECTED:
            raise m.Refused("already_linked", "the company is linked already")
        self.company.state = m.CompanyState.PAIRING
        code = {"qr": "2@" + "A" * 230} if method == "qr" else {"pairing_code": "ABCD1234"}
        self.company.offer = m.Offer(
            company_id=self.company.company_id, method=method, expires_at=time.time() + 20, **code
        )
        return self.company.offer

    def _status(self) -> m.CompanyStatus:
        connected = self.company.state is m.CompanyState.CONNECTED
        evidence = m.Evidence(
            connected_age_s=1.0 if connected else None,
            round_trip_age_s=None,
            round_trip_s=None,
            message_age_s=None,
            commit_age_s=None,
        )
        return m.CompanyStatus(
            company_id=self.company.company_id,
            status=self.company.state,
            reason="as the test wants it",
            connected=connected,
            since=NOW,
            phone_number="+79000000001",
            lid=None,
            reconnect_attempts=0,
            next_attempt_at=None,
            restarts=0,
            engine="/engines/engine-0",
            lease_epoch=1,
            evidence=evidence,
        )

    def _health(self) -> m.HealthReport:
        return m.HealthReport(
            company_id=self.company.company_id,
            healthy=self.company.healthy,
            status=self.company.state,
            phone_number="+79000000001",
            checks={"connected": self.company.healthy},
        )


class FakeDirectory(Actor):
    def __init__(self, world: World, running: SupervisorRef) -> None:
        self._world = world
        self._running = running

    async def started(self) -> None:
        for company_id in self._world.companies:
            await self._start(company_id)

    async def receive(self, message: Any) -> Any:
        match message:
            case m.FindCompany(company_id):
                return self._find(company_id)
            case m.EnsureCompany(company_id):
                if company_id not in self._world.companies:
                    self._world.companies[company_id] = Company(company_id, m.CompanyState.UNLINKED)
                    return await self._start(company_id)
                return self._find(company_id)
            case m.ListSessions(after, limit, only):
                return self._list(after, limit, only)
            case m.SetDesired(company_id, desired):
                self._world.check_storage_or_refuse()
                self._world.desired[company_id] = desired
            case m.ForgetCompany(company_id):
                self._find(company_id)
                await self._running.terminate_child(company_id)
                del self._world.companies[company_id]
                self._world.forgotten.append(company_id)
                self._world.storage_is_away = self._world.is_away_after_removal
            case _:
                raise TypeError(type(message).__name__)
        return None

    def _find(self, company_id: str) -> ActorRef:
        try:
            return self._running.child(company_id)
        except NoSuchActor as error:
            raise m.Refused("no_such_company", "there is no such company", company_id=company_id) from error

    async def _start(self, company_id: str) -> ActorRef:
        company = self._world.companies[company_id]
        return await self._running.start_child(ChildSpec(company_id, lambda _: FakeCompany(company)))

    def _list(self, after: str | None, limit: int, only: frozenset[str] | None) -> m.SessionPage:
        known = sorted(c for c in self._world.companies if only is None or c in only)
        rest = [c for c in known if after is None or c > after]
        sessions = tuple(
            m.SessionSummary(
                company_id=c,
                connected=self._world.companies[c].state is m.CompanyState.CONNECTED,
                status=self._world.companies[c].state,
                health="healthy",
            )
            for c in rest[:limit]
        )
        following = sessions[-1].company_id if len(rest) > limit else None
        return m.SessionPage(count=len(known), sessions=sessions, next=following)


class FakeEvents(Actor):
    """The real hub and subscriptions over a log in memory."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def receive(self, message: Any) -> Any:
        match message:
            case m.Subscribe(after, company_ids, types):
                self._world.check_storage_or_refuse()
                start = len(self._world.log) if after is None else after
                return Subscription(self._world.hub, Filter(company_ids, types), self._read, start)
            case m.ReadEvents(after, limit, company_ids, types, latest):
                self._world.check_storage_or_refuse()
                if latest:
                    wanted = Filter(company_ids, types)
                    found = tuple(event for event in self._world.log if event.seq > after and wanted.wants(event))
                    return m.EventPage(events=found[-limit:], next=len(self._world.log))
                events, following = await self._read(after, limit, Filter(company_ids, types))
                return m.EventPage(events=events, next=following)
            case _:
                raise TypeError(type(message).__name__)

    async def _read(self, after: int, limit: int, wanted: Filter) -> tuple[tuple[m.Event, ...], int]:
        if self._world.on_read is not None:
            self._world.on_read(after)
        found = tuple(event for event in self._world.log if event.seq > after and wanted.wants(event))[:limit]
        return found, found[-1].seq if len(found) == limit else max(after, len(self._world.log))


class FakeLimiter(Actor):
    def __init__(self, world: World, metrics: Metrics) -> None:
        self._world = world
        metrics.rate_limit_is(world.limit, 60.0)

    async def receive(self, message: Any) -> Any:
        assert isinstance(message, m.TakeToken)
        world = self._world
        counted = {"messages": world.tokens, "lookups": world.lookups}.get(message.of)
        if counted is None:
            counted = world.orders.setdefault(message.of, {})
        taken = counted.get(message.company_id, 0)
        allowed = taken < self._world.limit
        if allowed:
            counted[message.company_id] = taken = taken + 1
        wait_s = 0.0 if allowed else 41.3
        return m.Allowance(
            allowed=allowed, limit=self._world.limit, remaining=self._world.limit - taken, reset_after_s=wait_s
        )


class FakeHealth(Actor):
    def __init__(self, world: World) -> None:
        self._world = world

    async def receive(self, message: Any) -> Any:
        assert isinstance(message, m.GetDaemonHealth)
        return m.DaemonHealth(ready=self._world.ready, checks={"storage": self._world.ready})


class MemoryKeys:
    def __init__(self, world: World) -> None:
        self._world = world

    async def find_all(self, digests: Collection[bytes]) -> Mapping[bytes, Principal]:
        self._world.key_lookups += 1
        self._world.check_storage()
        return {digest: self._world.keys[digest] for digest in digests if digest in self._world.keys}

    async def revoked(self, within_s: float) -> frozenset[str]:
        self._world.check_storage()
        return frozenset(self._world.revoked)


class MemoryIdempotency:
    def __init__(self, world: World) -> None:
        self._world = world

    async def find(self, company_id: str, key: str) -> Remembered | None:
        self._world.check_storage()
        return self._world.kept.get((company_id, key))

    async def claim(self, company_id: str, key: str, digest: bytes, *, claim: str, replaces: str | None) -> bool:
        self._world.check_storage()
        kept = self._world.kept.get((company_id, key))
        if kept is not None and (replaces is None or kept.claim != replaces):
            return False
        self._world.kept[company_id, key] = Remembered(digest, None, claim)
        return True

    async def settle(self, company_id: str, key: str, claim: str, response: bytes) -> None:
        self._world.check_storage()
        kept = self._world.kept[company_id, key]
        assert kept.claim == claim
        self._world.kept[company_id, key] = dataclasses.replace(kept, response=response)

    async def release(self, company_id: str, key: str, claim: str) -> None:
        self._world.check_storage()
        assert self._world.kept.pop((company_id, key)).claim == claim


class MemoryMedia:
    def __init__(self, world: World) -> None:
        self._world = world

    async def find(self, company_id: str, media_id: str) -> KnownFile | None:
        self._world.check_storage()
        if self._world.media_is_unreadable:
            raise Problem("media_unreadable", company_id=company_id)
        return self._world.media.get((company_id, media_id))

    async def keep(self, company_id: str, media_id: str, file: StoredFile, keep_s: float) -> None:
        self._world.check_storage()
        self._world.media[company_id, media_id] = KnownFile(media_id, file, NOW + keep_s)


class MemoryRemovals:
    def __init__(self, world: World) -> None:
        self._world = world

    async def erase(self, company_id: str) -> None:
        self._world.check_storage()
        self._world.erased.append(company_id)


class MemoryServer:
    def __init__(self, world: World) -> None:
        self._world = world

    async def version(self) -> str:
        self._world.check_storage()
        return "18.1"


class MemoryAudit:
    def __init__(self, world: World) -> None:
        self._world = world

    async def read(self, before: int | None, limit: int) -> list[AuditRecord]:
        self._world.check_storage()
        records = [
            AuditRecord(number, entry.at, entry.key_id, entry.action, entry.target, entry.address, entry.count)
            for number, entry in enumerate(self._world.audit, start=1)
        ]
        return [record for record in reversed(records) if before is None or record.id < before][:limit]

    async def append(self, entry: AuditEntry) -> None:
        self._world.check_storage()
        self._world.audit.append(entry)
