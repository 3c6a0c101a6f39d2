"""The OpenAPI document: what the framework derives from the routes' types, completed by what types cannot say."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, final, get_args

import msgspec
import trio
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.types import Method
from litestar.types.internal_types import PathParameterDefinition

from actors.http.model.bodies import MAX_CHOICES
from actors.http.openapi.schemas import (
    COMPANY,
    IDEMPOTENCY_KEY,
    PHONE,
    Json,
    complete_schemas,
    every_object,
    plain_pattern,
    unwrap,
)
from actors.messages import EventType

WEBHOOK: Final = r"^wh_[0-9a-f]{16}$"
GROUP: Final = r"^[0-9]{10,20}(-[0-9]{9,11})?@g\.us$"

_WHOLE: Final[Json] = {"schema": {"type": "integer", "minimum": 0}}
_RATE_LIMIT: Final[Json] = {
    "RateLimit-Limit": {"description": "Messages, or look-ups, a window", **_WHOLE},
    "RateLimit-Remaining": {"description": "How many are left in this window", **_WHOLE},
    "RateLimit-Reset": {"description": "Seconds until one more is allowed; 0 when it is", **_WHOLE},
}
_RETRY_AFTER: Final[Json] = {"Retry-After": {"description": "Seconds", **_WHOLE}}
_BYTES: Final[Json] = {"type": "string", "format": "binary"}
_FILE: Final[Json] = {
    # A type that no browser runs is sent as it is, all others as the first: see actors/http/routes/files.py.
    each: {"schema": _BYTES}
    for each in ("application/octet-stream", "application/pdf", "image/*", "audio/*", "video/*")
}
_PICTURE: Final[Json] = {
    "image/png": {"schema": _BYTES},
    "image/svg+xml": {"schema": _BYTES},
}


MEDIA_TYPE: Final = "application/vnd.oai.openapi+json"


@final
class Document:
    """The document as JSON. ``make`` is called at the first request for it, on a worker thread because it takes long."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._made: bytes | None = None
        self._turn = trio.Lock()

    async def get(self) -> bytes:
        """Return the document. Raises what ``make`` raised; the next call tries again."""
        async with self._turn:
            if self._made is None:
                self._made = await trio.to_thread.run_sync(self._make)
            return self._made


def make_document(app: Litestar) -> bytes:
    """Return the completed document of the application's routes, as JSON."""
    return msgspec.json.encode(complete(app.openapi_schema.to_schema()))


def operation_id(
    handler: HTTPRouteHandler, _method: Method, _path_components: list[str | PathParameterDefinition]
) -> str:
    """Return the handler's name in camelCase. Handlers are named by a verb and a noun: generators make functions of these names, and a
    single word such as ``fetch`` would hide a function of the language.
    """
    return re.sub(r"_(\w)", lambda found: found[1].upper(), handler.handler_name)


def complete(document: Json) -> Json:
    """Add examples, patterns, headers and media types, changing ``document`` in place. Return it."""
    complete_schemas(document["components"]["schemas"])
    for path, item in document["paths"].items():
        for operation in item.values():
            _complete_operation(path, operation)
    for each in every_object(document):
        unwrap(each)
        plain_pattern(each)
    return document


def _complete_operation(path: str, operation: Json) -> None:
    for parameter in operation.get("parameters", ()):
        _complete_parameter(parameter)
    responses = operation["responses"]
    if path.endswith("/qr"):
        responses["200"]["content"] = _PICTURE
    if path.endswith("/media/{media_id}"):
        responses["200"]["content"] = _FILE
    if path.endswith(("/send", "/contacts/{phone}")):
        responses["200"]["headers"] = _RATE_LIMIT
        responses["429"]["headers"] = {**_RATE_LIMIT, **_RETRY_AFTER}
    if path.endswith("/send"):
        responses["200"]["headers"] = {
            **_RATE_LIMIT,
            "Idempotency-Replayed": {
                "description": "`true`: the answer of an earlier request",
                "schema": {"const": "true"},
            },
        }
    if path.endswith("/initialize"):
        operation["requestBody"]["required"] = False
    if "503" in responses:
        responses["503"].setdefault("headers", _RETRY_AFTER)


def _complete_parameter(parameter: Json) -> None:
    schema = parameter["schema"]
    match parameter["name"]:
        case "company_id":
            schema |= {"pattern": COMPANY, "examples": ["962302"]}
        case "webhook_id":
            schema |= {"pattern": WEBHOOK, "examples": ["wh_0123456789abcdef"]}
        case "phone":
            schema |= {"format": PHONE, "examples": ["+79000000002"]}
        case "group_id":
            schema |= {"pattern": GROUP, "examples": ["120363000000000001@g.us"]}
        case "media_id":
            schema |= {"pattern": "^[0-9a-f]{1,64}$"}
        case "Idempotency-Key":
            parameter["schema"] = {"type": "string", "pattern": IDEMPOTENCY_KEY, "examples": ["order-17"]}
        case "companyId":
            one = COMPANY.strip("^$")
            items = {"type": "string", "pattern": f"^({one})?(,({one})?){{0,{MAX_CHOICES - 1}}}$"}
            parameter["schema"] = {"type": "array", "maxItems": MAX_CHOICES, "items": items}
        case "type":
            one = "|".join(get_args(EventType))
            items = {"type": "string", "pattern": f"^({one})?(,({one})?){{0,{MAX_CHOICES - 1}}}$"}
            parameter["schema"] = {"type": "array", "maxItems": MAX_CHOICES, "items": items}
        case "after" if "oneOf" in schema:
            parameter["schema"] = {"type": "string", "maxLength": 64}
        case _:
            pass
