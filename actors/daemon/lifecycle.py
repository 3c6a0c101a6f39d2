"""Logs what supervisors do to actors, and publishes what concerns a company."""

from __future__ import annotations

import time
from typing import Any, final

import structlog

from actors.daemon.metrics import Metrics
from actors.messages import Announce, CompanyState, StatusChanged, new_event
from supervisor import ActorRef, LifecycleEvent
from supervisor.errors import SupervisorError

COMPANIES = "/companies/"
QUIET = frozenset({"started", "stopped", "terminated"})


@final
class LifecycleObserver:
    """Call it with each LifecycleEvent. A company's restart becomes a `restarted` event, one that was given up a `status` of `failed`."""

    def __init__(self, *, events: ActorRef, directory: ActorRef, metrics: Metrics) -> None:
        self._metrics = metrics
        self._events = events
        self._directory = directory
        self._why: dict[str, str] = {}
        """For each company that is being restarted, why."""
        self._log = structlog.get_logger("wasup.supervisor")

    def __call__(self, event: LifecycleEvent) -> None:
        log = self._log.debug if event.kind in QUIET else self._log.warning
        crash = event.crash
        facts = {"path": event.path, "reason": str(event.reason) if event.reason is not None else None}
        if crash is not None and event.kind == "crashed":
            facts |= {"crash": f"{crash.type}: {crash.text}", "traceback": crash.traceback}
        log(event.kind, **facts)
        company_id = event.path.removeprefix(COMPANIES)
        if company_id == event.path or "/" in company_id:
            return
        if event.kind == "crashed":  # it cannot say so itself; its next transition is from `stopped`
            self._set(company_id, CompanyState.STOPPED)
        elif event.kind == "restarting":
            self._why[company_id] = str(event.reason)
        elif event.kind == "restarted":
            reason = self._why.pop(company_id, "restarted by an operator")
            self._publish(company_id, "restarted", reason=reason, restarts=event.restarts)
        elif event.kind == "gave_up":
            self._why.pop(company_id, None)
            self._publish(company_id, "status", status="failed", previous=None, reason=str(event.reason))
            self._set(company_id, CompanyState.FAILED)
        else:  # started again, or ended for good: no restart is under way
            self._why.pop(company_id, None)

    def _set(self, company_id: str, state: CompanyState) -> None:
        """Report the state of a company whose actor has ended and cannot report it."""
        self._metrics.status_changed(company_id, state)
        self._tell(self._directory, StatusChanged(company_id, state, connected=False))

    def _publish(self, company_id: str, type_: str, **payload: Any) -> None:
        self._tell(self._events, Announce((new_event(type_, company_id, time.time(), payload),)))

    @staticmethod
    def _tell(ref: ActorRef, message: Any) -> None:
        try:
            ref.tell(message)
        except SupervisorError:
            return  # full or stopping: an observer must never disturb what it observes
