"""One webhook: takes its lease, follows the events from its cursor on, and delivers them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, Never, final

import msgspec
import structlog
import trio

from actors.events.subscription import Subscription, SubscriptionClosed
from actors.messages import DEFAULT_TYPES, Event, Refused, StopDelivering, Subscribe, WebhookStands
from actors.webhook_delivery.client import DeliveryClient, holder_of
from actors.webhook_delivery.delivery import Delivery
from actors.webhooks.deliverer import Deliverer, LeaseIsLost
from actors.webhooks.gauges import Standing
from actors.webhooks.ports import WebhookPorts
from storage.errors import StorageError, StorageUnavailable
from storage.tables import webhook_deliveries
from storage.tables.webhook_deliveries import DeadLetter, Held
from supervisor import Actor, ExitReason
from supervisor.errors import SupervisorError

RETRY_S: Final = 1.0
ASK_S: Final = 5.0
FINISH_S: Final = 2.0
"""How long a stop waits for deliveries under way."""


@final
class WebhookActor(Actor):
    """Delivers the events of one webhook while its lease is this daemon's, and stops by itself when it is not.

    Each incarnation reads from Postgres where to go on. Events that were delivered but not recorded before a crash are delivered again.
    """

    def __init__(self, webhook_id: str, ports: WebhookPorts) -> None:
        self._webhook_id = webhook_id
        self._ports = ports
        self._held: Held | None = None
        self._deliverer: Deliverer | None = None
        self._subscription: Subscription | None = None
        self._after = 0
        self._replays_wanted = trio.Event()
        self._log = structlog.get_logger("wasup.webhooks")

    async def started(self) -> None:
        self.context.spawn(self._work, name="work")

    async def receive(self, message: Any) -> Any:
        match message:
            case WebhookStands(version, lease_until, has_replays):
                if self._held is None or self._deliverer is None:
                    return
                if version != self._held.version:
                    self.context.stop()  # the coordinator starts it again with the new version
                self._deliverer.lease_until = max(lease_until, self._deliverer.lease_until)
                self._deliverer.notify()
                if has_replays:
                    self._replays_wanted.set()
            case StopDelivering():
                self.context.stop()
            case _:
                raise TypeError(f"a webhook does not understand {type(message).__name__}")

    def state(self) -> Any:
        """Return facts for operators, without the secrets or the events."""
        deliverer = self._deliverer
        return {
            "webhook_id": self._webhook_id,
            "has_lease": self._held is not None,
            "cursor": None if deliverer is None else deliverer.window.cursor(self._position()),
            "is_suspended": deliverer is not None and deliverer.circuit.is_open,
        }

    async def stopping(self, reason: ExitReason) -> None:
        """Wait a moment for deliveries under way, write the cursor and give the lease back."""
        self._ports.gauges.standings.pop(self._webhook_id, None)
        if self._deliverer is None or self._held is None:
            return
        await self._deliverer.drain(FINISH_S)
        with suppress(StorageError, LeaseIsLost):
            await self._deliverer.save()
            await webhook_deliveries.release(self._ports.database, self._held)

    async def _work(self) -> None:
        held = self._held = await self._acquire()
        if held is None:
            self.context.stop()
            return
        if held.forgotten:
            self._log.warning("webhook_events_forgotten", webhook_id=held.webhook_id, count=held.forgotten)
        self._after = held.cursor
        settings = self._ports.settings
        client = self._ports.make_client(holder_of(held.companies), settings.concurrency)
        delivery_client = DeliveryClient(client, settings, self._ports.metrics)
        try:
            await self._deliver(held, delivery_client)
        except* LeaseIsLost:
            self._log.info("webhook_lease_lost", webhook_id=held.webhook_id)
            self.context.stop()
        finally:
            with trio.CancelScope(shield=True):
                await client.aclose()

    async def _acquire(self) -> Held | None:
        """Take the lease; wait for Postgres as long as it is away. Return None when it cannot be had."""
        settings = self._ports.settings
        while True:
            asked_at = trio.current_time()
            try:
                held = await self._ports.database.write(
                    webhook_deliveries.acquire, self._webhook_id, self._ports.owner, settings.lease_ttl_s
                )
            except StorageUnavailable:
                await trio.sleep(RETRY_S)
                continue
            self._lease_until = asked_at + settings.lease_ttl_s
            return held

    async def _deliver(self, held: Held, client: DeliveryClient) -> None:
        deliverer = self._deliverer = Deliverer(held, self._ports, client, self._position)
        deliverer.lease_until = self._lease_until
        self._ports.gauges.standings[held.webhook_id] = Standing(held.cursor)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deliverer.run)
            nursery.start_soon(deliverer.keep_saving)
            nursery.start_soon(self._replay, held, deliverer)
            await self._read(held, deliverer)

    # --- reading events ---

    def _position(self) -> int:
        """Return the ``seq`` up to which all wanted events were added to the window."""
        return self._after if self._subscription is None else max(self._after, self._subscription.position)

    async def _read(self, held: Held, deliverer: Deliverer) -> None:
        """Follow the log from the present position; subscribe again after each end of a subscription."""
        while True:
            pause_s = 0.0
            try:
                wanted = Subscribe(
                    self._after, held.companies, held.types or DEFAULT_TYPES, is_own=True, reader=self._webhook_id
                )
                subscription: Subscription = await self._ports.events.ask(wanted, timeout=ASK_S)
                self._subscription = subscription
                await self._take(subscription, held, deliverer)
            except SubscriptionClosed:
                pass  # it handed out what it had; the log has the rest
            except (StorageUnavailable, Refused, SupervisorError):
                pause_s = RETRY_S
            self._leave()
            await trio.sleep(pause_s)

    async def _take(self, subscription: Subscription, held: Held, deliverer: Deliverer) -> Never:
        while True:
            # Wait for room before taking an event: the cursor would pass over one that was taken and is not in the window yet.
            await deliverer.room()
            deliverer.window.add(self._delivery(await anext(subscription), held))
            deliverer.notify()

    def _leave(self) -> None:
        if self._subscription is not None:
            self._after = self._position()
            self._subscription.close()
            self._subscription = None

    def _delivery(self, event: Event, held: Held) -> Delivery:
        attempts = held.retries.get(event.seq, 0)
        return Delivery(
            seq=event.seq,
            event_id=event.id,
            type=event.type,
            company_id=event.company_id,
            body=msgspec.json.encode(event),
            occurred_at=event.timestamp,
            attempts=attempts,
            last_attempt=max(attempts + 1, self._ports.settings.max_attempts),
        )

    # --- dead letters to be sent again ---

    async def _replay(self, held: Held, deliverer: Deliverer) -> None:
        while True:
            await self._replays_wanted.wait()
            self._replays_wanted = trio.Event()
            in_hand = deliverer.window.replays()
            try:
                letters = await webhook_deliveries.replays(
                    self._ports.database, held, after=0, limit=self._ports.settings.window_events
                )
            except StorageUnavailable:
                continue  # the coordinator will notify again
            for letter in letters:
                if letter.seq not in in_hand:
                    await deliverer.room()
                    deliverer.window.add(self._again(letter))
                    deliverer.notify()

    def _again(self, letter: DeadLetter) -> Delivery:
        return Delivery(
            seq=letter.seq,
            event_id=letter.event_id,
            type=letter.type,
            company_id=letter.company_id,
            body=letter.body,
            occurred_at=0.0,
            attempts=letter.attempts,
            last_attempt=letter.attempts + self._ports.settings.max_attempts,
            is_replay=True,
        )
