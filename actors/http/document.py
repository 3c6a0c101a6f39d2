"""The OpenAPI document: what the framework makes of the routes' types, completed by what types cannot say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast, final, get_args

import msgspec
import trio
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.types import Method
from litestar.types.internal_types import PathParameterDefinition

from actors.http.bodies import MAX_CHOICES, Body
from actors.http.examples import EXAMPLES
from actors.http.kinds import body_schemas
from actors.messages import EventType

Json = dict[str, Any]

COMPANY: Final = r"^[A-Za-z0-9_-]{1,64}$"
IDEMPOTENCY_KEY: Final = r"^[!-~]{1,128}$"
PHONE: Final = "phone-number"
"""A format of its own: what phonenumbers takes for a possible number, or a person's JID; no pattern says that."""
PUBLIC_URL: Final = "public-https-url"
"""What actors/outbound/urls.py takes."""
WEBHOOK: Final = r"^wh_[0-9a-f]{16}$"
GROUP: Final = r"^[0-9]{10,20}(-[0-9]{9,11})?@g\.us$"

_WHOLE: Final[Json] = {"schema": {"type": "integer", "minimum": 0}}
_RATE_LIMIT: Final[Json] = {
    "RateLimit-Limit": {"description": "Messages, or look-ups, a window", **_WHOLE},
    "RateLimit-Remaining": {"description": "How many are left in this window", **_WHOLE},
    "RateLimit-Reset": {"description": "Seconds until one more is allowed; 0 when it is", **_WHOLE},
}
_RETRY_AFTER: Final[Json] = {"Retry-After": {"description": "Seconds", **_WHOLE}}
_PICTURE: Final[Json] = {
    "image/png": {"schema": {"type": "string", "contentMediaType": "image/png"}},
    "image/svg+xml": {"schema": {"type": "string", "contentMediaType": "image/svg+xml"}},
}


MEDIA_TYPE: Final = "application/vnd.oai.openapi+json"


@final
class Document:
    """The document as JSON, from ``make``: called once, when it is asked for first, and on a worker thread, for it takes long."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._made: bytes | None = None
        self._turn = trio.Lock()

    async def get(self) -> bytes:
        """Raises what ``make`` raised; the next call tries again."""
        async with self._turn:
            if self._made is None:
                self._made = await trio.to_thread.run_sync(self._make)
            return self._made


def make_document(app: Litestar) -> bytes:
    """The completed document of the application's routes, as JSON."""
    return msgspec.json.encode(complete(app.openapi_schema.to_schema()))


def operation_id(
    handler: HTTPRouteHandler, _method: Method, path_components: list[str | PathParameterDefinition]
) -> str:
    """The handler's name in camelCase, with the last word of the path where it has several paths."""
    name = re.sub(r"_(\w)", lambda found: found[1].upper(), handler.handler_name)
    if len(handler.paths) < 2:
        return name
    last = path_components[-1]
    return f"{name}_{last if isinstance(last, str) else last.name}"


def complete(document: Json) -> Json:
    """Add examples, patterns, headers and media types. ``document`` is changed."""
    schemas = document["components"]["schemas"]
    schemas |= body_schemas()
    for name, example in EXAMPLES.items():
        if name in schemas:
            schemas[name].setdefault("examples", [example])
    _complete_bodies(schemas)
    for path, item in document["paths"].items():
        for operation in item.values():
            _complete_operation(path, operation)
    return document


def _complete_bodies(schemas: Mapping[str, Json]) -> None:
    for name in _names_below(Body) & schemas.keys():
        schemas[name]["additionalProperties"] = False
    link = schemas["InitializeBody"]
    for name in ("NewWebhookBody", "WebhookBody", "WebhookChangeBody"):
        webhook = schemas[name]["properties"]
        webhook["url"]["format"] = PUBLIC_URL
        # What the framework leaves out: limits of what stands in a list, and a minimum of 0.
        _non_null(webhook["companies"])["items"]["pattern"] = COMPANY
    schemas["RotationBody"]["properties"]["overlapS"]["minimum"] = 0
    _non_null(schemas["DeadLettersBody"]["properties"]["eventIds"])["items"]["pattern"] = IDEMPOTENCY_KEY
    # By QR code there is no phone to name, by code there must be one.
    phone = {"type": "string", "format": PHONE, "examples": ["+79000000001"]}
    link["oneOf"] = [
        {"properties": {"method": {"const": "qr"}, "phone": {"type": "null"}}},
        {"properties": {"method": {"const": "code"}, "phone": phone}, "required": ["method", "phone"]},
    ]


def _names_below(base: type) -> set[str]:
    below: list[type] = base.__subclasses__()
    return {base.__name__}.union(*map(_names_below, below))


def _non_null(schema: Json) -> Json:
    return next(cast("Json", each) for each in schema["oneOf"] if each.get("type") != "null")


def _complete_operation(path: str, operation: Json) -> None:
    for parameter in operation.get("parameters", ()):
        _complete_parameter(parameter)
    responses = operation["responses"]
    if path.endswith("/qr"):
        responses["200"]["content"] = _PICTURE
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
