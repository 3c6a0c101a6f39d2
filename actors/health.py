"""The health actor: makes a real round trip for each connected company every 30 s, and checks the daemon itself."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, final

import structlog
import trio

from actors import messages as m
from actors.daemon.liveness import why_unwell
from actors.daemon.notify import ServiceManager
from actors.disk.state import DiskState
from actors.storage.requests import CheckWritable
from config.sections import HealthSettings
from supervisor import Actor, ActorRef
from supervisor.errors import SupervisorError

PAGE = 500
WATCHDOG_SHARE = 3.0
"""The service manager's watchdog is fed this many times in the time that it allows, so two may be late."""
ASK_S = 15.0
STORAGE_ASK_S = 2.0
SPREAD = 0.9
"""The share of the interval over which checks are begun, so that a thousand round trips make a steady load."""


@dataclass(frozen=True, slots=True)
class _Pulse:
    pass


@dataclass(frozen=True, slots=True)
class _Checked:
    company_id: str
    healthy: bool
    reason: str


@final
class HealthActor(Actor):
    """Checks companies. Two misses in a row publish a `health_check_failed` event; three restart that company's actor.

    Only connected companies are asked: every other state has a deadline of its own.
    """

    def __init__(
        self,
        *,
        directory: ActorRef,
        events: ActorRef,
        storage: ActorRef,
        settings: HealthSettings,
        restart_company: Callable[[str], Awaitable[object]],
        manager: ServiceManager,
        disk: DiskState,
    ) -> None:
        self._directory = directory
        self._events = events
        self._storage = storage
        self._settings = settings
        self._restart_company = restart_company
        self._manager = manager
        self._disk = disk
        self._misses: dict[str, int] = {}
        self._pulsing = False
        self._checking: set[str] = set()
        self._gate = trio.CapacityLimiter(settings.concurrency)
        self._log = structlog.get_logger("wasup.health")

    async def started(self) -> None:
        self.context.every(self._settings.interval_ms / 1000, _Pulse())
        if self._manager.watchdog_s is not None:
            # A task of its own: while an operator has this actor suspended, the watchdog must not end the daemon.
            self.context.spawn(self._feed_watchdog, self._manager.watchdog_s / WATCHDOG_SHARE, name="watchdog")

    async def receive(self, message: Any) -> Any:
        match message:
            case _Pulse():
                if not self._pulsing:
                    self._pulsing = True
                    self.context.spawn(self._pulse, name="pulse")
            case _Checked():
                await self._on_checked(message)
            case m.GetDaemonHealth():
                return await self._daemon_health()
            case _:
                raise TypeError(f"health does not understand {type(message).__name__}")
        return None

    async def _feed_watchdog(self, interval_s: float) -> None:
        system = self.context.system
        reported: str | None = None
        while True:
            reason = why_unwell(system.snapshot(), system.unix_now())
            if reason is None:
                self._manager.alive()
            elif reason != reported:
                self._log.error("watchdog_not_fed", reason=reason)
                self._manager.status(f"not well: {reason}")
            reported = reason
            await trio.sleep(interval_s)

    async def _pulse(self) -> None:
        """Begin a round of checks. The next round does not wait for checks still under way; it leaves those companies out."""
        async with trio.open_nursery() as nursery:
            try:
                companies = await self._connected()
                for company_id in companies:
                    if company_id not in self._checking:
                        self._checking.add(company_id)
                        nursery.start_soon(self._check, company_id)
                    await trio.sleep(SPREAD * self._settings.interval_ms / 1000 / len(companies))
            finally:
                self._pulsing = False

    async def _connected(self) -> list[str]:
        found: list[str] = []
        known: set[str] = set()
        after: str | None = None
        try:
            while True:
                page = await self._directory.ask(m.ListSessions(after=after, limit=PAGE), timeout=ASK_S)
                known.update(session.company_id for session in page.sessions)
                found += [session.company_id for session in page.sessions if session.connected]
                if page.next is None:
                    self._misses = {
                        company_id: misses for company_id, misses in self._misses.items() if company_id in known
                    }
                    return found
                after = page.next
        except SupervisorError as error:
            self._log.warning("companies_not_listed", reason=str(error))
            return found

    async def _check(self, company_id: str) -> None:
        try:
            async with self._gate:
                checked = await self._ask(company_id)
        finally:
            self._checking.discard(company_id)
        if checked is not None:
            await self.context.ref.send(checked)

    async def _ask(self, company_id: str) -> _Checked | None:
        """Check one company. Return None when it is no longer connected."""
        try:
            ref = await self._directory.ask(m.FindCompany(company_id), timeout=ASK_S)
            report = await ref.ask(m.CheckHealth(), timeout=ASK_S)
        except (SupervisorError, m.Refused) as error:
            return _Checked(company_id, healthy=False, reason=str(error))
        failed = [name for name, well in report.checks.items() if not well]
        return None if "connected" in failed else _Checked(company_id, report.healthy, ", ".join(failed))

    async def _on_checked(self, checked: _Checked) -> None:
        company_id = checked.company_id
        self._directory.tell(m.HealthChanged(company_id, checked.healthy))
        if checked.healthy:
            self._misses.pop(company_id, None)
            return
        misses = self._misses[company_id] = self._misses.get(company_id, 0) + 1
        if misses == self._settings.misses_to_report:
            self._publish(company_id, checked.reason, misses)
        if misses >= self._settings.misses_to_restart:
            self._misses.pop(company_id)
            self._log.warning("company_restarted_for_its_health", company_id=company_id, reason=checked.reason)
            self.context.spawn(self._restart, company_id, name="restart")

    async def _restart(self, company_id: str) -> None:
        try:
            await self._restart_company(company_id)
        except SupervisorError as error:
            self._log.warning("company_not_restarted", company_id=company_id, reason=str(error))

    def _publish(self, company_id: str, reason: str, misses: int) -> None:
        event = m.new_event("health_check_failed", company_id, time.time(), {"reason": reason, "misses": misses})
        self._events.tell(m.Announce((event,)))

    async def _daemon_health(self) -> m.DaemonHealth:
        try:
            await self._storage.ask(CheckWritable(), timeout=STORAGE_ASK_S)
            storage = True
        except (SupervisorError, m.Refused):
            storage = False
        checks = {"storage": storage, "disk": self._disk.fault is None}
        return m.DaemonHealth(ready=all(checks.values()), checks=checks)
