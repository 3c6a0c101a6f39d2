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
"""The most events held here; the engine keeps the rest in its event spool until these are stored."""
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
    """Publishes event spool events in order, each after its ratchet step is committed; then the engine may delete them.

    An event's id is derived from the company, the device file and its event spool number, so an event that is published again after a
    crash is stored once. A message's event id is derived from the message's id and sender instead: a daemon may stop after it
    has spooled a message and before it has published it, and WhatsApp then delivers the message to the next daemon as well. Both publish
    it, and it is stored once.
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
        """Take one event; wait while `CAPACITY` events are held."""
        await self._send.send(event)

    async def run(self) -> None:
        """Publish events for ever."""
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
        """Store the files' records before the messages that announce them are published: an announced file can always be fetched."""
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
            # Another attempt would be rejected too: publish the message without its file.
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
        """Return a name that is the same each time this event is published."""
        return (event.type == "message" and _message_name(event.payload)) or f"{self._file_id}/{event.number}"

    def _is_news(self, event: OutboxEvent) -> bool:
        """Whether to publish the event. Undecryptable ones are normal after linking: all are counted, one per sender and hour published."""
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
    """Name a message by its sender and id: the sender chooses the id, and must not be able to suppress another sender's message."""
    try:
        message = read_json(payload, _Message)
    except msgspec.DecodeError:
        return None
    return f"message/{message.sender.id}/{message.messageId}" if message.messageId else None


def _sender_of(payload: bytes) -> str:
    """Return the sender's id, empty when the payload cannot be read: a malformed spooled event must never stop its company."""
    try:
        return read_json(payload, _Undecryptable).sender.id or ""
    except msgspec.DecodeError:
        return ""
