"""Delivers the events in a webhook's window: when each attempt begins, and what follows from its outcome."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, Never, final

import structlog
import trio

from actors.sharing import NoSlot
from actors.webhook_delivery.client import DeliveryClient, Outcome
from actors.webhook_delivery.delivery import Delivery
from actors.webhooks.pauses import Circuit, pause_s
from actors.webhooks.ports import WebhookPorts
from actors.webhooks.window import Window
from storage.errors import StorageUnavailable
from storage.tables import webhook_deliveries
from storage.tables.webhook_deliveries import DeadLetter, Held, Progress
from storage.tables.webhook_secrets import Secrets

RETRY_S: Final = 1.0
CROWDED_S: Final = 0.1
"""How soon a delivery that found no place among those of all endpoints tries again to begin."""
IDLE_SAVE_S: Final = 30.0
"""How often the cursor is written when it has only passed over events that are not wanted."""


class LeaseIsLost(Exception):
    """Another daemon delivers, or the webhook was removed."""


@final
class Deliverer:
    """One webhook's deliveries while its lease is ours. `run` and `keep_saving` raise `LeaseIsLost`."""

    def __init__(self, held: Held, ports: WebhookPorts, client: DeliveryClient, position: Callable[[], int]) -> None:
        settings = self._settings = ports.settings
        self._held = held
        self._ports = ports
        self._client = client
        self._position = position
        """Returns the ``seq`` up to which all wanted events were added to the window."""
        self.window = Window(settings.window_events, held.cursor)
        self.circuit = Circuit(settings)
        self.lease_until = 0.0
        """By trio's clock. No attempt begins that might end after it."""
        self.is_closing = False
        self._previous_until = trio.current_time() + held.previous_left_s
        self._under_way = 0
        self._changed = trio.Event()
        self._tried: dict[int, int] = {}
        self._settled: set[int] = set()
        self._delivered_at: datetime | None = None
        self._failed_at: datetime | None = None
        self._failure: str | None = None
        self._saved = held.cursor
        self._saved_at = trio.current_time()
        self._is_dirty = False
        self._log = structlog.get_logger("wasup.webhooks")

    def notify(self) -> None:
        """Something changed: check again which attempts may begin."""
        self._changed.set()

    async def room(self) -> None:
        """Wait until the window has room for one more."""
        while self.window.is_full:
            await self._wait(math.inf)

    async def run(self) -> Never:
        """Deliver until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                is_crowded = False
                for delivery in self._startable():
                    try:
                        self._ports.deliveries.take(delivery.company_id)
                    except NoSlot:
                        is_crowded = True
                        continue
                    delivery.is_under_way = True
                    self._under_way += 1
                    nursery.start_soon(self._attempt, delivery, self.circuit.tried())
                again_at = self._look_again_at()
                await self._wait(min(again_at, trio.current_time() + CROWDED_S) if is_crowded else again_at)

    async def drain(self, seconds: float) -> None:
        """Begin no more attempts, and wait at most ``seconds`` for those under way."""
        self.is_closing = True
        with trio.move_on_after(seconds):
            while self._under_way:
                await self._wait(math.inf)

    # --- which, and when ---

    def _startable(self) -> Iterator[Delivery]:
        now = trio.current_time()
        for delivery in self.window.heads():
            if not self._may_begin(now):
                return
            if delivery.due_at <= now:
                yield delivery

    def _may_begin(self, now: float) -> bool:
        has_room = self._under_way < self._settings.concurrency and not self.is_closing
        return has_room and now + self._settings.timeout_s <= self.lease_until and self.circuit.may_try(now)

    def _look_again_at(self) -> float:
        """Return the earliest time at which an attempt may begin if nothing changes before."""
        now = trio.current_time()
        if self._under_way >= self._settings.concurrency or now + self._settings.timeout_s > self.lease_until:
            return math.inf
        circuit_at = now + (self.circuit.left_s(now) or 0.0)
        waiting = [max(circuit_at, head.due_at) for head in self.window.heads()]
        return min((at for at in waiting if at > now), default=math.inf)

    async def _wait(self, until: float) -> None:
        if self._changed.is_set():
            self._changed = trio.Event()
        with trio.move_on_at(until):
            await self._changed.wait()

    # --- one attempt ---

    async def _attempt(self, delivery: Delivery, is_probe: bool) -> None:
        held = self._held
        try:
            outcome = await self._client.deliver(held.webhook_id, held.url, self._secrets(), delivery)
        except BaseException:
            self.circuit.abandoned(was_probe=is_probe)
            raise
        finally:
            self._under_way -= 1
            self._ports.deliveries.give_back(delivery.company_id)
        if outcome.failure is None:
            await self._delivered(delivery)
        else:
            await self._failed(delivery, outcome, outcome.failure, is_probe)
        delivery.is_under_way = False
        self._is_dirty = True
        self.notify()

    def _secrets(self) -> Secrets:
        secrets = self._held.secrets
        return secrets if trio.current_time() < self._previous_until else Secrets(secrets.current)

    async def _delivered(self, delivery: Delivery) -> None:
        if self.circuit.is_open:
            self._log.info("webhook_resumed", webhook_id=self._held.webhook_id)
        self.circuit.succeeded()
        self._delivered_at = datetime.now(UTC)
        if delivery.is_replay:
            await self._write(webhook_deliveries.raise_from_dead, delivery.seq)
        elif delivery.attempts:
            self._tried.pop(delivery.seq, None)
            self._settled.add(delivery.seq)
        self.window.settle(delivery)

    async def _failed(self, delivery: Delivery, outcome: Outcome, failure: str, is_probe: bool) -> None:
        now = trio.current_time()
        if self.circuit.failed(now, was_probe=is_probe):
            self._log.warning("webhook_suspended", webhook_id=self._held.webhook_id, reason=failure)
        self._failed_at, self._failure = datetime.now(UTC), failure
        delivery.attempts += 1
        if delivery.attempts >= delivery.last_attempt:
            await self._bury(delivery, outcome, failure)
            return
        wait_s = min(outcome.wait_s, self._settings.retry_max_s)
        delivery.due_at = now + max(wait_s, pause_s(self._settings, delivery.attempts, self._ports.random))
        if not delivery.is_replay:
            self._tried[delivery.seq] = delivery.attempts

    async def _bury(self, delivery: Delivery, outcome: Outcome, failure: str) -> None:
        letter = DeadLetter(
            seq=delivery.seq,
            event_id=delivery.event_id,
            type=delivery.type,
            company_id=delivery.company_id,
            body=delivery.body,
            attempts=delivery.attempts,
            failure=failure,
            status=outcome.status,
        )
        await self._write(webhook_deliveries.bury, letter)
        self._tried.pop(delivery.seq, None)
        self._settled.add(delivery.seq)
        self.window.settle(delivery)
        self._ports.metrics.webhook_gave_up()
        self._log.warning(
            "webhook_event_given_up", webhook_id=self._held.webhook_id, seq=delivery.seq, attempts=delivery.attempts
        )

    async def _write(self, write: Callable[..., Awaitable[bool]], *args: Any) -> None:
        """Write, and retry until it is written: the next delivery of the ordering key has to wait for that. Raises `LeaseIsLost`."""
        while True:
            try:
                is_ours = await self._ports.database.write(write, self._held, *args)
            except StorageUnavailable:
                await trio.sleep(RETRY_S)
                continue
            if not is_ours:
                raise LeaseIsLost
            return

    # --- the cursor ---

    async def keep_saving(self) -> Never:
        """Keep writing the cursor: soon after deliveries, and every `IDLE_SAVE_S` without any."""
        while True:
            await trio.sleep(self._settings.save_interval_s)
            self._show()
            is_idle_turn = trio.current_time() - self._saved_at >= IDLE_SAVE_S
            if self._is_dirty or (is_idle_turn and self.window.cursor(self._position()) > self._saved):
                await self.save()

    async def save(self) -> None:
        """Write the progress. If Postgres is away it is written later. Raises `LeaseIsLost` when the lease is another daemon's."""
        progress = self._progress()
        self._is_dirty = False
        try:
            is_ours = await self._ports.database.write(webhook_deliveries.save, self._held, progress)
        except StorageUnavailable:
            self._is_dirty = True
            return
        if not is_ours:
            raise LeaseIsLost
        self._saved, self._saved_at = progress.cursor, trio.current_time()
        self._tried = {seq: n for seq, n in self._tried.items() if progress.tried.get(seq) != n}
        self._settled.difference_update(progress.settled)

    def _progress(self) -> Progress:
        return Progress(
            cursor=self.window.cursor(self._position()),
            delivered_at=self._delivered_at,
            failed_at=self._failed_at,
            failure=self._failure,
            suspended_s=self.circuit.left_s(trio.current_time()),
            tried=dict(self._tried),
            settled=tuple(self._settled),
        )

    def _show(self) -> None:
        standing = self._ports.gauges.standings.get(self._held.webhook_id)
        if standing is not None:
            oldest = self.window.oldest
            standing.cursor = self.window.cursor(self._position())
            standing.oldest_at = None if oldest is None else min(oldest.occurred_at, time.time())
            standing.is_suspended = self.circuit.is_open
