"""The schemas of bodies and answers in the OpenAPI document: what types cannot say, in a form that validators and generators both read.

Generators of clients make types of `properties`, `required` and `oneOf`. A rule across fields in an `oneOf` beside them costs some
generators the fields, and a `default` makes others demand the field from the caller. So such rules stand apart, in `allOf` or in `if` and
`then`, and the default of a field that may be left out is told in its description.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET

from actors.http.model.bodies import END, Body
from actors.http.model.message_schema import body_schemas
from actors.http.model.problems import ProblemBody
from actors.http.openapi.examples import EXAMPLES
from actors.messages import Answer, Event

Json = dict[str, Any]

COMPANY: Final = r"^[A-Za-z0-9_-]{1,64}$"
IDEMPOTENCY_KEY: Final = r"^[!-~]{1,128}$"
PHONE: Final = "phone-number"
"""A format of its own: what phonenumbers takes for a possible number, or a person's JID; no pattern says that."""
PUBLIC_URL: Final = "public-https-url"
"""What actors/outbound/urls.py takes."""

_SILENT: Final = (None, "", False)
"""Defaults that need no words: nothing is there, or it is not so."""


def complete_schemas(schemas: dict[str, Json]) -> None:
    """Complete the components' schemas in place: first what single types need, then what all of a kind have in common."""
    schemas |= body_schemas()
    for name, example in EXAMPLES.items():
        if name in schemas:
            schemas[name].setdefault("examples", [example])
    _complete_webhooks(schemas)
    _complete_link(schemas["InitializeBody"])
    for name in _below(Body).keys() & schemas.keys():
        schemas[name]["additionalProperties"] = False
    for each in every_object(schemas):
        _tell_default(each)
    answers: dict[str, type] = {**_below(Answer), "Event": Event, "ProblemBody": ProblemBody}
    for name, answer in answers.items():
        if name in schemas:
            schemas[name]["required"] = _always_sent(answer)


def _complete_webhooks(schemas: Mapping[str, Json]) -> None:
    for name in ("NewWebhookBody", "WebhookBody", "WebhookChangeBody"):
        webhook = schemas[name]["properties"]
        webhook["url"]["format"] = PUBLIC_URL
        # What the framework leaves out: limits of what stands in a list, and a minimum of 0.
        _non_null(webhook["companies"])["items"]["pattern"] = COMPANY
    schemas["RotationBody"]["properties"]["overlapS"]["minimum"] = 0
    _non_null(schemas["DeadLettersBody"]["properties"]["eventIds"])["items"]["pattern"] = IDEMPOTENCY_KEY


def _complete_link(link: Json) -> None:
    """By QR code there is no phone to name, by code there must be one."""
    phone = {"type": "string", "format": PHONE, "examples": ["+79000000001"]}
    link["if"] = {"properties": {"method": {"const": "code"}}, "required": ["method"]}
    link["then"] = {"properties": {"method": {}, "phone": phone}, "required": ["phone"]}
    link["else"] = {"properties": {"method": {}, "phone": {"type": "null"}}}


def _non_null(schema: Json) -> Json:
    return next(cast("Json", each) for each in schema["oneOf"] if each.get("type") != "null")


def _below(base: type) -> dict[str, type]:
    """``base`` and all classes below it, by name."""
    found = {base.__name__: base}
    below: list[type] = base.__subclasses__()
    for each in below:
        found |= _below(each)
    return found


def every_object(value: object) -> Iterator[Json]:
    """Every object within ``value``, itself included; each may be changed when it is reached."""
    if isinstance(value, dict):
        yield cast("Json", value)
        inner: list[object] = list(cast("Json", value).values())
    else:
        inner = list(cast("list[object]", value)) if isinstance(value, list) else []
    for each in inner:
        yield from every_object(each)


def unwrap(schema: Json) -> None:
    """A choice of one, which the framework makes of a field that may be left out, is no choice."""
    match schema.get("oneOf"):
        case [one]:
            del schema["oneOf"]
            schema |= {**cast("Json", one), **schema}
        case _:
            pass


def _tell_default(schema: Json) -> None:
    fields: Mapping[str, Json] = schema.get("properties", {})
    for field in fields.values():
        default = field.pop("default", None)
        if default not in _SILENT:
            words = field.get("description", "")
            said = f"Default: {msgspec.json.encode(default).decode()}."
            field["description"] = f"{words.rstrip('.')}. {said}" if words else said


def plain_pattern(schema: Json) -> None:
    """JSON Schema's `$` is the very end already, and what Python needs more is only in the way of generators."""
    if isinstance(pattern := schema.get("pattern"), str):
        schema["pattern"] = pattern.replace(END, "$")


def _always_sent(answer: type) -> list[str]:
    """The fields that every such answer has: also those with a default, but for the ones that may be left out."""
    return [each.encode_name for each in msgspec.structs.fields(answer) if each.default is not UNSET]
