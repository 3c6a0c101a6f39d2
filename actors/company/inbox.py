"""Incoming messages and receipts on their way from the engine's event spool to the event log."""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from typing import final

import msgspec
import structlog
import trio

from actors.company.internal_messages import MessagesStored
from actors.company.link import EngineLink
from actors.company.ports import CompanyPorts
from actors.company.shipping import Shipment
from actors.engine.protocol.messages import EventsStored, MediaArrived, OutboxEvent
from actors.messages import Event, Publish, Refused
from actors.storage.requests import KeepMedia
from config.json_text import read_json
from storage.tables.media import NewMedia
from supervisor import ActorRef
from supervisor.errors import SupervisorError

CAPACITY = 256
"""EventSpool events held here; the engine keeps the rest in its event spool until these are stored."""
BATCH = 64
RETRY_S = 0.5
STORE_TIMEOUT_S = 10.0
UNDECRYPTABLE_EVERY_S = 3600.0
UNDECRYPTABLE_SENDERS = 256

OUTBOX_NAMESPACE = uuid.UUID("5f3c2f0e-6f0b-4a58-9d8f-8a4e4f0f8f10")


class _Party(msgspec.Struct):
    id: str | None = None


class _Undecryptable(msgspec.Struct):
    sender: _Party


class _Message(msgspec.Struct):
    messageId: str  # noqa: N815 - as the payload has it
    sender: _Party


@final
class Inbox:
    """Publishes event spool events in order, each after the ratchet step it belongs to is committed, then lets the engine forget them.

    An event's id is derived from the company, the device file and its event spool number: after a crash in between it is
    stored once all the same. That of a message is derived from the message's own: a daemon may be stopped when it has kept one and told
    nobody, and WhatsApp delivers it to the daemon that takes the company over; both tell it, and it is stored once.
    """

    def __init__(
        self,
        company_id: str,
        *,
        shipment: Shipment,
        ports: CompanyPorts,
        actor: ActorRef,
        link: EngineLink,
        file_id: str,
    ) -> None:
        self._company_id = company_id
        self._shipment = shipment
        self._ports = ports
        self._actor = actor
        self._link = link
        self._file_id = file_id
        self._send, self._receive = trio.open_memory_channel[OutboxEvent](CAPACITY)
        self._reported: OrderedDict[str, float] = OrderedDict()

    async def put(self, event: OutboxEvent) -> None:
        """Take one event; waits while `CAPACITY` are waiting."""
        await self._send.send(event)

    async def run(self) -> None:
        """Publish what comes, for ever."""
        async for first in self._receive:
            batch = [first]
            while len(batch) < BATCH and self._receive.statistics().current_buffer_used:
                batch.append(self._receive.receive_nowait())
            await self._shipment.wait_committed(max(event.position for event in batch))
            await self._publish(batch)
            await self._link.tell(EventsStored(number=batch[-1].number))

    async def _publish(self, batch: list[OutboxEvent]) -> None:
        await self._keep_media([event for event in batch if event.type == "media"])
        events = tuple(self._event(event) for event in batch if event.type != "media" and self._is_news(event))
        while events and not await self._stored(events):
            await trio.sleep(RETRY_S)
        messages = sum(event.type == "message" for event in batch)
        if messages:
            await self._actor.send(MessagesStored(messages))

    async def _keep_media(self, batch: list[OutboxEvent]) -> None:
        """Before the messages that announce them are told of: who hears of a file can fetch it."""
        arrived = [read_json(event.payload, MediaArrived) for event in batch]
        media = tuple(
            NewMedia(self._company_id, one.media_id, one.message_id, msgspec.json.encode(one.file)) for one in arrived
        )
        while media and not await self._kept(media):
            await trio.sleep(RETRY_S)

    async def _kept(self, media: tuple[NewMedia, ...]) -> bool:
        request = KeepMedia(self._company_id, media, self._ports.media_retention_s)
        try:
            await self._ports.storage.ask(request, timeout=STORE_TIMEOUT_S)
        except Refused as refused:
            if refused.code != "storage_rejected":
                return False
            # It never will be kept: the message is told of all the same.
            structlog.get_logger("wasup.company").error(
                "media_not_kept", company_id=self._company_id, reason=refused.text
            )
        except SupervisorError:
            return False
        return True

    async def _stored(self, events: tuple[Event, ...]) -> bool:
        try:
            await self._ports.events.ask(Publish(events), timeout=STORE_TIMEOUT_S)
        except (Refused, SupervisorError):
            # Storage is away or the events actor restarted: the ids make repeating harmless.
            return False
        return True

    def _event(self, event: OutboxEvent) -> Event:
        return Event(
            id=str(uuid.uuid5(OUTBOX_NAMESPACE, f"{self._company_id}/{self._name(event)}")),
            type="error" if event.type == "undecryptable" else event.type,
            company_id=self._company_id,
            timestamp=time.time(),
            payload=msgspec.Raw(event.payload),
        )

    def _name(self, event: OutboxEvent) -> str:
        """What makes it the same event when it is told once more."""
        return (event.type == "message" and _message_name(event.payload)) or f"{self._file_id}/{event.number}"

    def _is_news(self, event: OutboxEvent) -> bool:
        """Messages that cannot be decrypted are normal after linking: all are counted, one a sender and hour is reported."""
        if event.type != "undecryptable":
            return True
        self._ports.metrics.error("undecryptable", self._company_id)
        sender = _sender_of(event.payload)
        now = trio.current_time()
        if now - self._reported.get(sender, -UNDECRYPTABLE_EVERY_S) < UNDECRYPTABLE_EVERY_S:
            return False
        self._reported[sender] = now
        self._reported.move_to_end(sender)
        while len(self._reported) > UNDECRYPTABLE_SENDERS:
            self._reported.popitem(last=False)
        return True


def _message_name(payload: bytes) -> str | None:
    """With its sender: an id is the sender's choice, and must not stand in the way of anybody else's message."""
    try:
        message = read_json(payload, _Message)
    except msgspec.DecodeError:
        return None
    return f"message/{message.sender.id}/{message.messageId}" if message.messageId else None


def _sender_of(payload: bytes) -> str:
    """Who sent it. What an engine keeps until it is stored must never be able to stop its company: unreadable is nobody."""
    try:
        return read_json(payload, _Undecryptable).sender.id or ""
    except msgspec.DecodeError:
        return ""
