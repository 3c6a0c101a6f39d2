"""Problems: the catalogue of every error of the API with its stable code, and the form in which errors are sent.

`docs/api-errors.md` lists the same table for readers; a test compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, final

import msgspec
from msgspec import UNSET, UnsetType

from actors.http.transport.answers import whole_response
from actors.http.transport.tasks import AsgiEvent

MEDIA_TYPE: Final = "application/problem+json"
MAX_DETAIL: Final = 500
"""Characters of ``detail``; longer ones are cut."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The fixed properties of a code."""

    code: str
    status: int
    title: str
    meaning: str
    """What it means and what to do, for the documentation and as the default detail."""
    retryable: bool = False
    """True: the same request may succeed later without any change."""
    retry_after_s: float | None = None
    """Default of Retry-After."""


def _kind(code: str, status: int, title: str, meaning: str, *, retry_s: float | None = None) -> Kind:
    return Kind(code, status, title, meaning, retryable=retry_s is not None, retry_after_s=retry_s)


_ALL: Final = (
    # 400: the request cannot be understood
    _kind("bad_request", 400, "Bad Request", "The request is not one this server understands."),
    _kind("invalid_json", 400, "Invalid JSON", "The body is not valid JSON in UTF-8, or nested too deeply."),
    # 401, 403
    _kind("unauthorized", 401, "Unauthorized", "Send a valid API key as Authorization: Bearer … or X-Api-Key."),
    _kind("access_denied", 403, "Forbidden", "This API key may not do this."),
    # 404, 405, 406, 408, 413, 415
    _kind("not_found", 404, "Not Found", "There is nothing at this path."),
    _kind("no_such_company", 404, "No Such Company", "No company with this id: initialize it first."),
    _kind("no_such_actor", 404, "No Such Actor", "There is no actor at this path of the tree."),
    _kind("no_such_group", 404, "No Such Group", "WhatsApp knows no such group."),
    _kind("no_such_message", 404, "No Such Message", "This company has sent no such message, or too long ago."),
    _kind("no_such_media", 404, "No Such Media", "No file of this id is remembered (any more)."),
    _kind("no_such_webhook", 404, "No Such Webhook", "There is no webhook of this id that this key may see."),
    _kind("no_passkey_wanted", 404, "No Passkey Wanted", "WhatsApp does not wait for this step of a passkey now."),
    _kind("no_qr", 404, "No QR Code", "No QR code is on offer: call initialize."),
    _kind(
        "method_not_allowed", 405, "Method Not Allowed", "This path does not take this method; see the Allow header."
    ),
    _kind("not_acceptable", 406, "Not Acceptable", "Accept allows none of the forms this answer has."),
    _kind("request_timeout", 408, "Request Timeout", "The body did not arrive in time.", retry_s=1.0),
    _kind(
        "body_too_large",
        413,
        "Body Too Large",
        "The body is larger than `http.max_body_bytes` (64 KiB unless set otherwise).",
    ),
    _kind("unsupported_media_type", 415, "Unsupported Media Type", "Send the body as application/json in UTF-8."),
    _kind("media_gone", 410, "Media Gone", "WhatsApp does not have this file any more."),
    _kind("media_too_large", 413, "Media Too Large", "The file is larger than what is taken."),
    # 409: not in this state
    _kind("not_in_group", 409, "Not In Group", "The company's account is not in this group."),
    _kind(
        "no_active_session",
        409,
        "No Active Session",
        "The company is not connected, and an operator has to end that; see its status.",
    ),
    _kind("too_many_webhooks", 409, "Too Many Webhooks", "The limit of webhooks is reached: remove one first."),
    _kind("already_linked", 409, "Already Linked", "The company is linked to WhatsApp: log it out first."),
    _kind("not_linked", 409, "Not Linked", "The company is not linked to WhatsApp."),
    _kind(
        "pairing_failed", 409, "Pairing Failed", "WhatsApp did not complete the linking: start it again.", retry_s=5.0
    ),
    _kind(
        "passkey_rejected",
        409,
        "Passkey Rejected",
        "WhatsApp did not take this step; the detail says why. Take the present options and try again.",
    ),
    _kind("logout_failed", 503, "Logout Failed", "WhatsApp did not confirm; the device is still linked.", retry_s=5.0),
    _kind("not_supported", 409, "Not Supported", "This kind of actor does not take this action."),
    _kind(
        "action_failed", 409, "Action Failed", "The action was tried and did not come to its end; look at the actor."
    ),
    _kind("in_progress", 409, "In Progress", "A request with this Idempotency-Key is being handled.", retry_s=1.0),
    _kind(
        "outcome_unknown",
        409,
        "Outcome Unknown",
        "A send under this Idempotency-Key was begun and its end is not known: it may have arrived, and is not sent again.",
    ),
    # 422: understood, and wrong
    _kind("invalid_request", 422, "Invalid Request", "A field is missing, unknown, or not of its type."),
    _kind("invalid_company_id", 422, "Invalid Company Id", "A company id is 1 to 64 of A-Z a-z 0-9 _ and -."),
    _kind("invalid_url", 422, "Invalid URL", "Nothing can be delivered to this URL; the detail says why."),
    _kind(
        "invalid_passkey_response",
        422,
        "Invalid Passkey Response",
        "The response does not fit WhatsApp's request; the detail says what would be right.",
    ),
    _kind("invalid_phone", 422, "Invalid Phone", "The phone is neither a possible number nor a JID."),
    _kind("invalid_message", 422, "Invalid Message", "The message is empty or holds characters that cannot be sent."),
    _kind("message_too_long", 422, "Message Too Long", "A message has at most 4096 characters."),
    _kind("invalid_idempotency_key", 422, "Invalid Idempotency-Key", "It is 1 to 128 visible ASCII characters."),
    _kind("idempotency_key_reused", 422, "Idempotency-Key Reused", "This key was used for a different body."),
    _kind("recipient_not_on_whatsapp", 422, "Recipient Not On WhatsApp", "WhatsApp names no account for this number."),
    _kind("send_rejected", 422, "Send Rejected", "WhatsApp refused this message."),
    _kind(
        "account_restricted",
        422,
        "Account Restricted",
        "WhatsApp lets this account write only to people who wrote first (463, 475), for a time; nothing was sent.",
    ),
    _kind("wrong_media_type", 422, "Wrong Media Type", "The file is not of a type that can be sent as this."),
    _kind("url_refused", 422, "URL Refused", "This URL must not be fetched; the detail says why."),
    # 429
    _kind(
        "rate_limited",
        429,
        "Rate Limited",
        "Too many messages, look-ups or orders for this company; see RateLimit-*.",
        retry_s=1.0,
    ),
    _kind(
        "too_many_requests", 429, "Too Many Requests", "Too many requests of this API key are under way.", retry_s=1.0
    ),
    _kind("too_many_sends", 429, "Too Many Sends", "Too many sends of this company are under way.", retry_s=1.0),
    _kind("too_many_failures", 429, "Too Many Failures", "Too many wrong API keys from this address.", retry_s=60.0),
    _kind("too_many_tickets", 429, "Too Many Tickets", "Too many tickets are out at present.", retry_s=5.0),
    _kind("too_many_transfers", 429, "Too Many Transfers", "Too many files are on their way already.", retry_s=2.0),
    # 5xx: not the caller's fault
    _kind("internal_error", 500, "Internal Error", "Something failed here; the log of the daemon says what."),
    _kind("storage_rejected", 500, "Storage Rejected", "The database cannot hold a value; the log says which."),
    _kind(
        "media_unreadable",
        500,
        "Media Unreadable",
        "What is stored of the company's files was changed or cannot be opened.",
    ),
    _kind("url_failed", 502, "URL Failed", "What is at the URL could not be fetched.", retry_s=5.0),
    _kind("media_upload_failed", 502, "Media Upload Failed", "WhatsApp did not take the file.", retry_s=5.0),
    _kind("media_download_failed", 502, "Media Download Failed", "WhatsApp did not give the file.", retry_s=5.0),
    _kind("storage_unavailable", 503, "Storage Unavailable", "The database is away; nothing was changed.", retry_s=5.0),
    _kind("engine_unavailable", 503, "Engine Unavailable", "No engine process is ready for this company.", retry_s=5.0),
    _kind("whatsapp_unreachable", 503, "WhatsApp Unreachable", "WhatsApp's servers cannot be reached.", retry_s=15.0),
    _kind(
        "owned_elsewhere",
        503,
        "Owned Elsewhere",
        "Another daemon owns this company; nothing was changed. Ask that one.",
        retry_s=1.0,
    ),
    _kind(
        "reconnecting",
        503,
        "Reconnecting",
        "The company is on its way back to WhatsApp by itself; nothing was sent.",
        retry_s=2.0,
    ),
    _kind("lease_lost", 503, "Lease Lost", "Another daemon took this company over meanwhile.", retry_s=30.0),
    _kind("restarting", 503, "Restarting", "The part of the daemon that was asked is being restarted.", retry_s=1.0),
    _kind("overloaded", 503, "Overloaded", "Too much is waiting already; nothing was changed.", retry_s=1.0),
    _kind(
        "too_many_connections", 503, "Too Many Connections", "The limit of open connections is reached.", retry_s=1.0
    ),
    _kind("too_many_subscribers", 503, "Too Many Subscribers", "The limit of event streams is reached.", retry_s=5.0),
    _kind("not_ready", 503, "Not Ready", "The daemon cannot do its work at present.", retry_s=5.0),
    _kind(
        "storage_full",
        507,
        "Storage Full",
        "The daemon's disk takes no writes (space, inodes, quota, read-only): nothing was changed; it goes on by itself with room.",
        retry_s=5.0,
    ),
    _kind(
        "send_timeout", 504, "Send Timeout", "WhatsApp did not acknowledge in time; it may still be sent.", retry_s=5.0
    ),
    _kind("timeout", 504, "Timeout", "The part of the daemon that was asked did not answer in time.", retry_s=5.0),
)

KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.code: kind for kind in _ALL})
"""The catalogue, by code."""


_OF_NO_COMPANY: Final = frozenset({"access_denied", "invalid_company_id", "method_not_allowed", "not_found"})


@final
class Problem(Exception):
    """Raise it to respond with this problem. ``code`` must be in the catalogue."""

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        retry_after_s: float | None = None,
        company_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = KINDS[code]
        self.detail = (detail or self.kind.meaning)[:MAX_DETAIL]
        self.retry_after_s = self.kind.retry_after_s if retry_after_s is None else retry_after_s
        self.company_id = company_id
        self.headers = dict(headers or {})
        super().__init__(f"{code}: {self.detail}")

    @property
    def retry_after_whole_s(self) -> int | None:
        """Seconds as the Retry-After header has them: a whole number, at least 1."""
        return None if self.retry_after_s is None else max(1, math.ceil(self.retry_after_s))

    def all_headers(self) -> dict[str, str]:
        """Return its own headers, and Retry-After where it applies."""
        retry = self.retry_after_whole_s
        return self.headers if retry is None else {"Retry-After": str(retry), **self.headers}


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """RFC 9457, and the fields that older clients read."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    success: bool = False
    error: str
    """One sentence for people."""
    code: str
    retryable: bool
    retry_after: int | UnsetType = UNSET
    """Seconds."""
    company_id: str | UnsetType = UNSET


def body_of(problem: Problem, instance: str) -> ProblemBody:
    """Return the body for ``problem``; ``instance`` is the request's path."""
    kind = problem.kind
    retry = problem.retry_after_whole_s
    return ProblemBody(
        type=f"/docs/errors#{kind.code}",
        title=kind.title,
        status=kind.status,
        detail=problem.detail,
        instance=instance,
        error=problem.detail,
        code=kind.code,
        retryable=kind.retryable,
        retry_after=UNSET if retry is None else retry,
        company_id=UNSET if problem.company_id is None else problem.company_id,
    )


def instance_of(problem: Problem, scope: Mapping[str, Any]) -> str:
    """Return the path as requested; for a foreign company's path only its prefix, so that the response says nothing about that path."""
    if problem.kind.code in {"access_denied", "method_not_allowed"}:
        return "/api/whatsapp" if scope["path"].startswith("/api/") else "/admin"
    path: str = scope["path"]
    return path[:MAX_DETAIL]


def company_of(problem: Problem, scope: Mapping[str, Any]) -> str | None:
    """Return the company that the problem is about: its own, else the one in the path once the request's key was verified."""
    if problem.company_id is not None or problem.kind.code in _OF_NO_COMPANY or "auth" not in scope:
        return problem.company_id
    company_id: str | None = scope.get("path_params", {}).get("company_id")
    return company_id


def answer_of(problem: Problem, scope: Mapping[str, Any]) -> tuple[AsgiEvent, AsgiEvent]:
    """Return the ASGI events that respond with ``problem``."""
    body = encode(problem, instance_of(problem, scope))
    return whole_response(problem.kind.status, MEDIA_TYPE, body, problem.all_headers())


def encode(problem: Problem, instance: str) -> bytes:
    """Return the body as JSON."""
    return msgspec.json.encode(body_of(problem, instance))
