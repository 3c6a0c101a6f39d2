"""The coordinator of webhooks: decides which of them this daemon delivers to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Never, final

import structlog
import trio

from actors.messages import StopDelivering, WebhooksChanged, WebhookStands
from actors.webhooks.ports import WebhookPorts
from storage.errors import StorageError
from storage.tables import webhook_deliveries
from storage.tables.webhook_deliveries import Candidate, Survey
from supervisor import Actor, ChildSpec, SupervisorRef
from supervisor.errors import SupervisorError

REVIVE_S: Final = 60.0
"""The actor of a webhook that used up its restarts is started again after this long."""


@dataclass(frozen=True, slots=True)
class _Surveyed:
    survey: Survey
    asked_at: float


@final
class WebhookCoordinator(Actor):
    """Renews the leases of this daemon's webhooks, starts an actor for each that no daemon delivers to, and stops those of other daemons.

    It sees every change of a webhook in the database within ``survey_interval_s``, whichever process made it, and at once on
    `WebhooksChanged`.
    """

    def __init__(self, running: SupervisorRef, webhook_spec: Callable[[str], ChildSpec], ports: WebhookPorts) -> None:
        self._running = running
        self._webhook_spec = webhook_spec
        self._ports = ports
        self._look = trio.Event()
        self._revived: dict[str, float] = {}
        self._log = structlog.get_logger("wasup.webhooks")

    async def started(self) -> None:
        self._ports.metrics.set_source("webhooks", self._ports.gauges.samples)
        self._ports.metrics.set_remarks("webhooks", self._ports.gauges.remarks)
        self.context.spawn(self._survey, name="survey")

    async def receive(self, message: Any) -> Any:
        match message:
            case WebhooksChanged():
                self._look.set()
            case _Surveyed(survey, asked_at):
                self._ports.gauges.last_seq = survey.last_seq
                await self._reconcile({each.webhook_id: each for each in survey.candidates}, asked_at)
            case _:
                raise TypeError(f"the keeper of webhooks does not understand {type(message).__name__}")

    async def _survey(self) -> Never:
        ports, settings = self._ports, self._ports.settings
        while True:
            asked_at = trio.current_time()
            try:
                survey = await ports.database.write(
                    webhook_deliveries.survey, ports.owner, settings.lease_ttl_s, settings.max_endpoints
                )
            except StorageError as error:
                # Without renewal the leases end, and their webhooks stop delivering in time by themselves.
                self._log.warning("webhooks_not_surveyed", reason=type(error).__name__)
            else:
                await self.context.ref.send(_Surveyed(survey, asked_at))
            with trio.move_on_after(settings.survey_interval_s):
                await self._look.wait()
            self._look = trio.Event()

    async def _reconcile(self, wanted: dict[str, Candidate], asked_at: float) -> None:
        present = {child.id: child.state for child in self._running.which_children()}
        for webhook_id in present.keys() - wanted.keys():
            self._tell(webhook_id, StopDelivering())
        for webhook_id, candidate in wanted.items():
            if webhook_id not in present:
                await self._start(webhook_id)
            elif present[webhook_id] == "failed":
                await self._revive(webhook_id)
            elif candidate.left_s is not None:
                until = asked_at + candidate.left_s
                self._tell(webhook_id, WebhookStands(candidate.version, until, candidate.has_replays))

    async def _start(self, webhook_id: str) -> None:
        try:
            await self._running.start_child(self._webhook_spec(webhook_id))
        except SupervisorError as error:
            self._log.warning("webhook_not_started", webhook_id=webhook_id, reason=str(error))

    async def _revive(self, webhook_id: str) -> None:
        now = trio.current_time()
        if now < self._revived.setdefault(webhook_id, now) + REVIVE_S:
            return
        self._revived.pop(webhook_id)
        try:
            await self._running.restart_child(webhook_id)
        except SupervisorError:
            return  # it runs again, or was removed

    def _tell(self, webhook_id: str, message: object) -> None:
        try:
            self._running.child(webhook_id).tell(message)
        except SupervisorError:
            return  # sent again at the next survey
