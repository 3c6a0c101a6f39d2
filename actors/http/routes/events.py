"""Events over HTTP: pages to read again, and the rule which of them a key may see."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Final, get_args

from litestar import Controller, get, post
from litestar.params import QueryParameter

from actors.http.access.auth import Authenticator, Principal
from actors.http.access.guards import admit, needs_key
from actors.http.model.bodies import MAX_CHOICES, ApiRequest
from actors.http.model.problems import Problem
from actors.http.model.responses import EventsReply, TicketReply, succeed
from actors.http.model.suggestions import did_you_mean
from actors.http.openapi.operations import may_answer
from actors.http.services.backends import Injected
from actors.messages import DEFAULT_TYPES, EventType, ReadEvents

MAX_PAGE: Final = 1000
MAX_SEQ: Final = 2**53 - 1
"""The largest number that every JSON reader keeps exactly."""
EVENT_TYPES: Final = frozenset(get_args(EventType))

After = Annotated[int, QueryParameter(ge=0, le=MAX_SEQ, description="Events with a greater `seq`")]
Companies = Annotated[
    list[str] | None,
    QueryParameter(name="companyId", description="Only of these companies; repeat it, or separate by commas"),
]
Types = Annotated[
    list[str] | None, QueryParameter(name="type", description="Only of these types; repeat it, or separate by commas")
]

Latest = Annotated[bool, QueryParameter(description="The last `limit` of them instead of the first")]


class EventsController(Controller):
    """The event log."""

    path = "/api/whatsapp/events"
    guards = (needs_key,)
    tags = ("events",)

    @get(summary="Read events", responses=may_answer("invalid_request"))
    async def read_events(
        self,
        request: ApiRequest,
        backends: Injected,
        after: After = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)] = 100,
        company_ids: Companies = None,
        types: Types = None,
        latest: Latest = False,
    ) -> EventsReply:
        """Events in the order of `seq`; call again with `after` = `next`. As a WebSocket the same path continues live."""
        companies = visible_companies(request.auth, company_ids or ())
        wanted = ReadEvents(after, limit, companies, chosen_types(types or ()), latest, reader=request.auth.key_id)
        page = await backends.events.ask(wanted, timeout=backends.waits.ask_s)
        return succeed(EventsReply, page)


class TicketsController(Controller):
    """Tickets for the live events."""

    path = "/api/whatsapp/events/tickets"
    guards = (needs_key,)
    tags = ("events",)

    @post(status_code=201, summary="A ticket for a WebSocket", responses=may_answer("too_many_tickets"))
    async def issue_ticket(self, request: ApiRequest) -> TicketReply:
        """For browsers, whose WebSockets cannot carry a key: open `/api/whatsapp/events?ticket=…` with it, once and soon."""
        authenticator: Authenticator = request.app.state.authenticator
        ticket, ttl_s = authenticator.issue_ticket(request.scope["headers"], request.auth)
        return TicketReply(ticket=ticket, expires_at=time.time() + ttl_s)


def visible_companies(principal: Principal, asked: Sequence[str]) -> frozenset[str] | None:
    """Return the companies whose events to send; None: all. Raises `access_denied` when one of them is not the key's."""
    named = _split(asked, "companyId")
    for company_id in named:
        admit(principal, company_id)
    return frozenset(named) if named else principal.companies


def chosen_types(asked: Sequence[str]) -> frozenset[str]:
    """Return the types to send, `DEFAULT_TYPES` when none is named. Raises `invalid_request` for an unknown type, of which no event would
    ever come.
    """
    named = _split(asked, "type")
    if unknown := sorted(set(named) - EVENT_TYPES):
        raise Problem(
            "invalid_request",
            f"type: there is no {unknown[0][:64]!r}; there are {', '.join(sorted(EVENT_TYPES))}"
            + did_you_mean(unknown[0][:64], EVENT_TYPES),
        )
    return frozenset(named) if named else DEFAULT_TYPES


def _split(asked: Sequence[str], name: str) -> list[str]:
    lists = [text.split(",") for text in asked]
    if len(lists) > MAX_CHOICES or any(len(parts) > MAX_CHOICES for parts in lists):
        raise Problem("invalid_request", f"{name}: at most {MAX_CHOICES} times, and at most {MAX_CHOICES} at once")
    named = [part.strip() for parts in lists for part in parts if part.strip()]
    if any("\0" in part for part in named):
        raise Problem("invalid_request", f"{name}: holds the character NUL")
    return named
