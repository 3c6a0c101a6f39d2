"""A company's own events for the event log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from actors.messages import Announce, CompanyState, new_event
from supervisor import ActorRef
from supervisor.errors import ActorStopped, MailboxFull


@final
class Announcer:
    """Builds events and hands them to the events actor without waiting.

    While Postgres is away the events actor keeps a bounded number of events; it counts those it drops, and the company goes on.
    """

    def __init__(self, company_id: str, events: ActorRef, wall_clock: Callable[[], float]) -> None:
        self._company_id = company_id
        self._events = events
        self._wall_clock = wall_clock

    def announce(self, type_: str, **payload: Any) -> None:
        """Announce an event of ``type_`` (spec: Events) with ``payload``."""
        event = new_event(type_, self._company_id, self._wall_clock(), payload)
        try:
            self._events.tell(Announce((event,)))
        except (MailboxFull, ActorStopped):  # an event lost to a full queue must not cost the company its connection
            return

    def transition(self, before: CompanyState, after: CompanyState, reason: str) -> None:
        """Announce the `status` event of a transition, and the event that names this transition if there is one."""
        self.announce("status", status=after.value, previous=before.value, reason=reason)
        if before is CompanyState.CONNECTED and after is not CompanyState.CONNECTED:
            self.announce("disconnected", reason=reason, status=after.value)
        if after is CompanyState.LOGGED_OUT:
            self.announce("logout", reason=reason)
