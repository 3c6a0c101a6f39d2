"""Bodies of requests about webhooks."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from actors.http.model.bodies import END, Body
from actors.messages import EventType

MAX_COMPANIES: Final = 500
MAX_EVENTS: Final = 500

Url = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=2048,
        description="Where events are delivered: https, on a public address unless the operator allows others",
        examples=["https://app.example/whatsapp/events"],
    ),
]
Company = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}" + END)]
Companies = Annotated[
    list[Company],
    Meta(min_length=1, max_length=MAX_COMPANIES, description="Only events of these companies; null: of all"),
]
EventTypes = Annotated[
    list[EventType], Meta(min_length=1, max_length=50, description="Only events of these types; null: of all")
]
Description = Annotated[
    str, Meta(max_length=256, pattern=r"^[^\x00]*" + END, description="For people; means nothing here")
]
Secret = Annotated[
    str,
    Meta(
        min_length=24,
        max_length=128,
        pattern=r"^[!-~]+" + END,
        description="What deliveries are signed with; one is made when it is left out",
    ),
]
EventId = Annotated[str, Meta(pattern=r"^[!-~]{1,128}" + END)]


class NewWebhookBody(Body, frozen=True, kw_only=True):
    """A webhook to be created."""

    url: Url
    companies: Companies | None = None
    event_types: EventTypes | None = None
    enabled: bool = True
    description: Description = ""
    secret: Secret | None = None


class WebhookBody(Body, frozen=True, kw_only=True):
    """All of a webhook that can be changed; what is left out gets its default."""

    url: Url
    companies: Companies | None = None
    event_types: EventTypes | None = None
    enabled: bool = True
    description: Description = ""


class WebhookChangeBody(Body, frozen=True, kw_only=True):
    """What to change of a webhook; what is left out stays."""

    url: Url | UnsetType = UNSET
    companies: Companies | UnsetType | None = UNSET
    event_types: EventTypes | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    description: Description | UnsetType = UNSET


class RotationBody(Body, frozen=True, kw_only=True):
    """A new secret."""

    secret: Secret | None = None
    overlap_s: (
        Annotated[
            float,
            Meta(
                ge=0,
                le=2_592_000,
                description="How long the present secret stays valid; the operator's default if left out",
            ),
        ]
        | None
    ) = None


class DeadLettersBody(Body, frozen=True, kw_only=True):
    """Which dead letters."""

    event_ids: (
        Annotated[list[EventId], Meta(min_length=1, max_length=MAX_EVENTS, description="Of these events; null: all")]
        | None
    ) = None
