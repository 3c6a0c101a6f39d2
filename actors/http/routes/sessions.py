"""The sessions of companies: list, link, inspect, start, stop, forget."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import trio
from litestar import Controller, MediaType, Response, delete, get, post
from litestar.params import JSONBody, QueryParameter

from actors.http.access.guards import CompanyId, needs_company, needs_key
from actors.http.access.rate_limit import take_order
from actors.http.model.bodies import ApiRequest, InitializeBody
from actors.http.model.phones import parse_phone
from actors.http.model.problems import Problem
from actors.http.model.responses import (
    ForgottenReply,
    HealthReply,
    ListMetrics,
    OfferReply,
    SessionsReply,
    StatusReply,
    succeed,
)
from actors.http.openapi.operations import BODY, OF_A_COMPANY, may_answer
from actors.http.routes import qr
from actors.http.services.backends import Backends, Injected, note, note_read
from actors.messages import (
    CheckHealth,
    EnsureCompany,
    ForgetCompany,
    GetOffer,
    GetStatus,
    Initialize,
    ListSessions,
    Logout,
    Offer,
    Refused,
    RestartSession,
    SetDesired,
    StartSession,
    StopSession,
)
from storage.errors import StorageUnavailable
from supervisor.errors import SupervisorError

MAX_PAGE = 1000
_AWAY = ("no_active_session", "reconnecting")
_SCAN = "Scan this code with WhatsApp: Settings, Linked devices, Link a device."
_TYPE = (
    "Type this code on the phone: WhatsApp, Settings, Linked devices, Link a device, Link with phone number instead."
)


class SessionListController(Controller):
    """All sessions of a key."""

    path = "/api/whatsapp/sessions"
    guards = (needs_key,)
    tags = ("sessions",)

    @get(summary="List sessions", responses=may_answer("invalid_request"))
    async def list_sessions(
        self,
        request: ApiRequest,
        backends: Injected,
        after: Annotated[str | None, QueryParameter(description="`next` of the page before", max_length=64)] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MAX_PAGE)] = 100,
    ) -> SessionsReply:
        """The sessions this key may see, in the order of their ids."""
        only = request.auth.companies
        page = await backends.directory.ask(ListSessions(after, limit, only), timeout=backends.waits.ask_s)
        totals = backends.metrics.totals(only)
        metrics = ListMetrics(
            total_sessions=page.count,
            active_connections=totals.active_connections,
            messages_sent=totals.messages_sent,
            messages_received=totals.messages_received,
        )
        return succeed(SessionsReply, page, metrics=metrics)


class SessionController(Controller):
    """One company's session."""

    path = "/api/whatsapp/sessions/{company_id:str}"
    guards = (
        needs_key,
        needs_company,
    )
    tags = ("sessions",)

    @post(
        "/initialize",
        status_code=200,
        summary="Link to WhatsApp",
        responses=may_answer(
            *OF_A_COMPANY,
            *BODY,
            "invalid_phone",
            "already_linked",
            "pairing_failed",
            "engine_unavailable",
            "whatsapp_unreachable",
            "owned_elsewhere",
            "rate_limited",
        ),
    )
    async def initialize_session(
        self,
        company_id: CompanyId,
        request: ApiRequest,
        backends: Injected,
        data: JSONBody[InitializeBody | None] = None,
    ) -> OfferReply:
        """Start linking; creates the company when it is new. By QR code, or by a code to type into the phone of that number."""
        wanted = _initialize(data or InitializeBody(), backends.region)
        await _admit(request, backends, "initialize", company_id)
        company = await backends.directory.ask(EnsureCompany(company_id), timeout=backends.waits.ask_s)
        return _offer_reply(await company.ask(wanted, timeout=backends.waits.initialize_s))

    @get(
        "/qr",
        summary="The present QR code",
        responses=may_answer(*OF_A_COMPANY, "no_qr", "not_acceptable"),
        media_type=MediaType.TEXT,
    )
    async def get_qr_code(self, company_id: CompanyId, request: ApiRequest, backends: Injected) -> Response[bytes]:
        """As PNG or SVG, by Accept."""
        wanted = request.accept.best_match(["image/png", "image/svg+xml"])
        if wanted is None:
            raise Problem("not_acceptable", "the QR code can be had as image/png and image/svg+xml")
        company = await backends.find(company_id)
        offer = await company.ask(GetOffer(), timeout=backends.waits.ask_s)
        if offer.qr is None:
            raise Problem("no_qr", company_id=company_id)
        note_read(request, backends, "qr_read", company_id)
        picture = qr.png(offer.qr) if wanted == "image/png" else qr.svg(offer.qr)
        return Response(picture, media_type=wanted)

    @get("/status", summary="State and evidence", responses=may_answer(*OF_A_COMPANY))
    async def get_session_status(self, company_id: CompanyId, backends: Injected) -> StatusReply:
        """The state, why and since when, and how old the evidence for it is."""
        company = await backends.find(company_id)
        status = await company.ask(GetStatus(), timeout=backends.waits.ask_s)
        return succeed(StatusReply, status)

    @get("/health", summary="Health", responses=may_answer(*OF_A_COMPANY))
    async def get_session_health(self, company_id: CompanyId, backends: Injected) -> Response[HealthReply]:
        """200 when every check passes, 503 otherwise; makes a round trip to WhatsApp, at most once a second."""
        company = await backends.find(company_id)
        report = await company.ask(CheckHealth(), timeout=backends.waits.session_s)
        return Response(succeed(HealthReply, report), status_code=200 if report.healthy else 503)

    @post("/start", status_code=200, summary="Start", responses=may_answer(*OF_A_COMPANY, "rate_limited"))
    async def start_session(self, company_id: CompanyId, request: ApiRequest, backends: Injected) -> StatusReply:
        """Run, now and after a restart of the daemon. Harmless when it runs."""
        await backends.find(company_id)
        await _admit(request, backends, "start", company_id)
        await backends.directory.ask(SetDesired(company_id, "running"), timeout=backends.waits.session_s)
        return succeed(StatusReply, await backends.order(company_id, StartSession()))

    @post("/stop", status_code=200, summary="Stop", responses=may_answer(*OF_A_COMPANY, "rate_limited"))
    async def stop_session(self, company_id: CompanyId, request: ApiRequest, backends: Injected) -> StatusReply:
        """Disconnect and stay disconnected, also after a restart of the daemon; the device stays linked. Harmless when stopped."""
        await backends.find(company_id)
        await _admit(request, backends, "stop", company_id)
        await backends.directory.ask(SetDesired(company_id, "stopped"), timeout=backends.waits.session_s)
        return succeed(StatusReply, await backends.order(company_id, StopSession()))

    @post("/restart", status_code=200, summary="Restart", responses=may_answer(*OF_A_COMPANY, "rate_limited"))
    async def restart_session(self, company_id: CompanyId, request: ApiRequest, backends: Injected) -> StatusReply:
        """Disconnect and connect again."""
        await backends.find(company_id)
        await _admit(request, backends, "restart", company_id)
        return succeed(StatusReply, await backends.order(company_id, RestartSession()))

    @post(
        "/logout",
        status_code=200,
        summary="Log out",
        responses=may_answer(*OF_A_COMPANY, "logout_failed", "rate_limited", *_AWAY),
    )
    async def log_out_session(self, company_id: CompanyId, request: ApiRequest, backends: Injected) -> StatusReply:
        """Unlink the device at WhatsApp and archive its credentials. Harmless when it is not linked."""
        await backends.find(company_id)
        await _admit(request, backends, "logout", company_id)
        try:
            return succeed(StatusReply, await backends.order(company_id, Logout()))
        except Refused as refused:
            if refused.code != "not_linked":
                raise
            return succeed(StatusReply, await backends.order(company_id, GetStatus()))

    @delete("/", status_code=200, summary="Forget", responses=may_answer(*OF_A_COMPANY, "rate_limited"))
    async def forget_session(self, company_id: CompanyId, request: ApiRequest, backends: Injected) -> ForgottenReply:
        """Log out as far as possible, archive the auth state, forget the company: its keys and webhooks end at once, then its events, files
        and idempotent requests are erased. `erased` is false when erasing did not finish in time; it then continues by itself.
        """
        await backends.find(company_id)
        await _admit(request, backends, "forget", company_id)
        logged_out = await _log_out_if_possible(backends, company_id)
        await backends.directory.ask(ForgetCompany(company_id), timeout=backends.waits.session_s)
        request.app.state.authenticator.forget()
        backends.idempotency.forget(company_id)
        return ForgottenReply(company_id=company_id, logged_out=logged_out, erased=await _erased(backends, company_id))


async def _admit(request: ApiRequest, backends: Backends, action: str, company_id: str) -> None:
    """Count the order and write it to the audit log. Raises `rate_limited` instead when there were too many."""
    await take_order(company_id, request.auth, backends)
    note(request, backends, action, company_id)


def _initialize(body: InitializeBody, region: str | None) -> Initialize:
    if body.method == "qr":
        if body.phone is not None:
            raise Problem("invalid_request", "phone: only with method code")
        return Initialize("qr")
    if body.phone is None:
        raise Problem("invalid_request", "phone: method code needs the number of the phone to link")
    return Initialize("code", parse_phone(body.phone, region).lstrip("+"))


def _offer_reply(offer: Offer) -> OfferReply:
    if offer.qr is None:
        return succeed(OfferReply, offer, message=_TYPE)
    return succeed(
        OfferReply, offer, message=_SCAN, qr_data_url=qr.data_url(offer.qr), qr_terminal=qr.terminal(offer.qr)
    )


async def _erased(backends: Backends, company_id: str) -> bool:
    with trio.move_on_after(backends.waits.session_s), suppress(StorageUnavailable):
        await backends.removals.erase(company_id)
        return True
    return False


async def _log_out_if_possible(backends: Backends, company_id: str) -> bool:
    """Log out if possible; return whether it was. Forgetting a company must not depend on WhatsApp, an engine or a healthy actor."""
    company = await backends.find(company_id)
    try:
        await company.ask(Logout(), timeout=backends.waits.session_s)
    except (Refused, SupervisorError):
        return False
    return True
