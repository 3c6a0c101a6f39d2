"""What the OpenAPI document says beyond types: how to send a key, and which problems a call may end in."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.spec import Components, Example, SecurityScheme, Tag
from litestar.router import Router
from litestar.types import Method, OperationIDCreator
from litestar.types.internal_types import PathParameterDefinition

from actors.http.model.problems import KINDS, MEDIA_TYPE, Problem, ProblemBody, body_of
from actors.http.openapi.document import operation_id

VERSION = "1"

_TAGS: Final = {
    "sessions": "Link companies to WhatsApp, look at their sessions, start and stop them.",
    "messages": "Send messages and files, fetch files that came, mark messages read.",
    "contacts": "What WhatsApp knows of numbers and groups.",
    "events": "What happens: read again in pages, or followed live.",
    "webhooks": "Have events delivered, and see what could not be.",
    "metrics": "Counters of the daemon and its companies.",
    "administration": "The actor tree and the audit log.",
    "probes": "For load balancers and service managers.",
}

_EVERY_CALL = (
    "bad_request",
    "unauthorized",
    "access_denied",
    "too_many_failures",
    "too_many_requests",
    "internal_error",
    "storage_unavailable",
)
OF_A_COMPANY = ("no_such_company", "invalid_company_id", "owned_elsewhere", "restarting", "overloaded", "timeout")
"""The problems of any call for one company."""

BODY = ("invalid_json", "invalid_request", "body_too_large", "unsupported_media_type", "request_timeout")
"""The problems of any call with a body."""


def may_answer(*codes: str) -> dict[int, ResponseSpec]:
    """Return the problems that a call may end in, with those of every call that needs a key."""
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys((*_EVERY_CALL, *codes)):
        by_status.setdefault(KINDS[code].status, []).append(code)
    return {status: _spec(found) for status, found in sorted(by_status.items())}


NOT_READY = {503: ResponseSpec(ProblemBody, description=KINDS["not_ready"].meaning, media_type=MEDIA_TYPE)}


def _spec(codes: list[str]) -> ResponseSpec:
    return ResponseSpec(
        data_container=ProblemBody,
        description=" ".join(f"`{code}`: {KINDS[code].meaning}" for code in codes),
        media_type=MEDIA_TYPE,
        generate_examples=False,
        examples=[
            _NamedExample(id=code, value=msgspec.to_builtins(body_of(Problem(code), "/api/whatsapp"))) for code in codes
        ],
    )


class _NamedExample(Example):
    """An example whose ``id`` is only its key in the document, as OpenAPI requires; the framework also writes it as a field."""

    @property
    def _exclude_fields(self) -> set[str]:
        return {"id"}


def named(**by_last_word: str) -> OperationIDCreator:
    """Return the operation ids of a handler with several paths, chosen by the last word or parameter of each path."""

    def operation_id(_handler: HTTPRouteHandler, _method: Method, path: list[str | PathParameterDefinition]) -> str:
        last = path[-1]
        return by_last_word[last if isinstance(last, str) else last.name]

    return operation_id


def config(router: Router) -> OpenAPIConfig:
    """Return the document's head; ``router`` gets the framework's pages."""
    return OpenAPIConfig(
        title="wasup",
        version=VERSION,
        description=(
            "WhatsApp sessions of many companies. Every answer carries `success`; every error is "
            "`application/problem+json` with a stable `code` (see /docs/errors). Live events: GET "
            "/api/whatsapp/events as a WebSocket."
        ),
        security=[{"bearer": []}, {"apiKey": []}],
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(type="http", scheme="bearer"),
                "apiKey": SecurityScheme(type="apiKey", name="X-Api-Key", security_scheme_in="header"),
            }
        ),
        tags=[Tag(name, description) for name, description in _TAGS.items()],
        use_handler_docstrings=True,
        operation_id_creator=operation_id,
        openapi_router=router,
    )
