"""Sending a message, in this order:

1. the key and the company in the path (guards), 2. the body's form, the message, the recipient, 3. the company exists,
4. a repeat of an earlier `Idempotency-Key` gets the earlier response, 5. the company is connected, or soon is, 6. the rate limit,
7. the request is claimed under its key, 8. the company sends, 9. the response is added to the claim.

So a message that cannot be sent does not use up the rate limit: an unlinked company is 409 and a bad number 422, however often. A
message that was let through counts, even if sending it fails.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

import trio
from litestar import Controller, Response, post
from litestar.params import HeaderParameter, JSONBody

from actors.http.access.auth import Principal
from actors.http.access.guards import CompanyId, needs_company, needs_key
from actors.http.access.rate_limit import rate_limit_headers, take_token
from actors.http.model.bodies import ApiRequest
from actors.http.model.message_schema import SendBody
from actors.http.model.outgoing_message import Attachment, OutgoingMessage, draft_of
from actors.http.model.problems import Problem
from actors.http.model.responses import SentReply, succeed
from actors.http.openapi.operations import BODY, OF_A_COMPANY, may_answer
from actors.http.services.backends import Backends, Injected
from actors.messages import CompanyState, SendContent, SendText, WaitConnected
from supervisor import ActorRef
from supervisor.errors import AskTimeout

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key", description="Repeats within 24 h are answered with the first answer", required=False
    ),
]

_SENDING = (
    "invalid_phone",
    "invalid_message",
    "message_too_long",
    "recipient_not_on_whatsapp",
    "no_active_session",
    "storage_full",
    "reconnecting",
    "rate_limited",
    "too_many_sends",
    "invalid_idempotency_key",
    "idempotency_key_reused",
    "in_progress",
    "outcome_unknown",
    "send_rejected",
    "account_restricted",
    "engine_unavailable",
    "send_timeout",
    "not_in_group",
    "no_such_group",
    "no_such_message",
    "no_such_media",
    "media_unreadable",
    "wrong_media_type",
    "media_too_large",
    "media_upload_failed",
    "too_many_transfers",
    "url_refused",
    "url_failed",
)


TEMPLATE: Final = "/api/whatsapp/sessions/{company_id}/send"


class SendController(Controller):
    """Sending messages."""

    path = TEMPLATE.replace("company_id", "company_id:str")
    guards = (
        needs_key,
        needs_company,
    )
    tags = ("messages",)

    @post(status_code=200, summary="Send a message", responses=may_answer(*OF_A_COMPANY, *BODY, *_SENDING))
    async def send_message(
        self,
        company_id: CompanyId,
        data: JSONBody[SendBody],
        request: ApiRequest,
        backends: Injected,
        idempotency_key: IdempotencyKey = None,
    ) -> Response[SentReply]:
        """Responds when WhatsApp has acknowledged the message and the state that it used is durable."""
        reply, headers = await send_message(request.auth, company_id, data, idempotency_key, backends)
        return Response(reply, headers=headers)


async def send_message(
    principal: Principal, company_id: str, body: SendBody, idempotency_key: str | None, backends: Backends
) -> tuple[SentReply, dict[str, str]]:
    """Carry out steps 2 to 9 for a body of the right form. Return the response and its headers. Raises what `problem_of` knows."""
    draft = draft_of(body, backends.region)
    company = await backends.find(company_id)
    async with backends.idempotency.attempt(company_id, idempotency_key, body) as attempt:
        if attempt.earlier is not None:
            return attempt.earlier, {"Idempotency-Replayed": "true"}
        await require_connected(company, company_id, backends)
        allowance = await take_token(company_id, "messages", backends)
        request = await _request(principal, company, company_id, draft, backends)
        sent = await attempt.run(partial(_send, company, request, backends))
    return sent, rate_limit_headers(allowance)


async def require_connected(company: ActorRef, company_id: str, backends: Backends) -> None:
    """Wait for a company that is reconnecting to WhatsApp; do not wait when too many requests wait already.

    Raises `reconnecting`, or `no_active_session` when only an operator can help.
    """
    if backends.metrics.state_of(company_id) is CompanyState.CONNECTED:
        return  # if that has changed just now, the company itself refuses
    try:
        backends.may_wait.acquire_nowait()
    except trio.WouldBlock:
        await company.ask(WaitConnected(0.0), timeout=backends.waits.ask_s)
        return
    try:
        await company.ask(
            WaitConnected(backends.waits.connected_s), timeout=backends.waits.connected_s + backends.waits.ask_s
        )
    finally:
        backends.may_wait.release()


async def _request(
    principal: Principal, company: ActorRef, company_id: str, draft: OutgoingMessage, backends: Backends
) -> SendText | SendContent:
    """Return the order to the company, after uploading its file to WhatsApp."""
    content = draft.content
    if isinstance(content, Attachment):
        content = await backends.transfers.attach(principal, company, company_id, content)
    return draft.request(content)


async def _send(company: ActorRef, request: SendText | SendContent, backends: Backends) -> SentReply:
    try:
        sent = await company.ask(request, timeout=backends.waits.send_s)
    except AskTimeout as error:
        raise Problem("send_timeout") from error
    return succeed(SentReply, sent)
