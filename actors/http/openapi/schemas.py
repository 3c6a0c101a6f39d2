"""The schemas of bodies in the OpenAPI document: what types cannot say, in a form that validators and generators both understand.

Generators of clients make types of `properties`, `required` and `oneOf`. If a rule across fields is an `oneOf` beside them, some
generators lose the fields; a `default` makes others demand the field from the caller. So such rules stand apart, in `allOf` or in `if`
and `then`, and the default of an optional field is given in its description.
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
"""A format of ours: a number that phonenumbers calls possible, or a person's JID. No pattern can express it."""
PUBLIC_URL: Final = "public-https-url"
"""URLs that actors/outbound/urls.py accepts."""

_SILENT: Final = (None, "", False)
"""Defaults that are not described: empty or false."""


def complete_schemas(schemas: dict[str, Json]) -> None:
    """Complete the components' schemas in place: first what single types need, then what all types of a kind share."""
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
        # Left out by the framework: limits on a list's items, and a minimum of 0.
        _non_null(webhook["companies"])["items"]["pattern"] = COMPANY
    schemas["RotationBody"]["properties"]["overlapS"]["minimum"] = 0
    _non_null(schemas["DeadLettersBody"]["properties"]["eventIds"])["items"]["pattern"] = IDEMPOTENCY_KEY


def _complete_link(link: Json) -> None:
    """Require a phone for linking by code and forbid it for linking by QR code."""
    phone = {"type": "string", "format": PHONE, "examples": ["+79000000001"]}
    link["if"] = {"properties": {"method": {"const": "code"}}, "required": ["method"]}
    link["then"] = {"properties": {"method": {}, "phone": phone}, "required": ["phone"]}
    link["else"] = {"properties": {"method": {}, "phone": {"type": "null"}}}


def _non_null(schema: Json) -> Json:
    return next(cast("Json", each) for each in schema["oneOf"] if each.get("type") != "null")


def _below(base: type) -> dict[str, type]:
    """Return ``base`` and all its subclasses, by name."""
    found = {base.__name__: base}
    below: list[type] = base.__subclasses__()
    for each in below:
        found |= _below(each)
    return found


def every_object(value: object) -> Iterator[Json]:
    """Yield every object within ``value``, including itself; the caller may change each as it comes."""
    if isinstance(value, dict):
        yield cast("Json", value)
        inner: list[object] = list(cast("Json", value).values())
    else:
        inner = list(cast("list[object]", value)) if isinstance(value, list) else []
    for each in inner:
        yield from every_object(each)


def unwrap(schema: Json) -> None:
    """Replace a `oneOf` with one entry by that entry. The framework writes it for an optional field."""
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
    """Replace `END` by `$` in patterns: JSON Schema's `$` is the very end already, and Python's addition disturbs generators."""
    if isinstance(pattern := schema.get("pattern"), str):
        schema["pattern"] = pattern.replace(END, "$")


def _always_sent(answer: type) -> list[str]:
    """Return the fields that every such response has: those with a default too, without the ones that may be left out."""
    return [each.encode_name for each in msgspec.structs.fields(answer) if each.default is not UNSET]
