"""Events, and how they are stored, read and followed."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import msgspec

from actors.messages.basis import Answer
from supervisor import Request

EventType = Literal[
    "qr",
    "pairing_code",
    "connected",
    "disconnected",
    "message",
    "receipt",
    "error",
    "logout",
    "reconnect_failed",
    "health_check_failed",
    "status",
    "restarted",
    "passkey_required",
]
"""Every event type."""

DEFAULT_TYPES: Final = frozenset(get_args(EventType)) - {"passkey_required"}
"""The types sent to a subscriber that names none. It must never grow (ADR 31)."""


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One event as applications see it. ``seq`` is 0 until it is stored."""

    id: str
    seq: int = 0
    type: str
    company_id: str
    timestamp: float
    payload: msgspec.Raw


def new_event(type_: str, company_id: str, timestamp: float, payload: Mapping[str, Any]) -> Event:
    """Return an event with a new id. ``timestamp``: Unix seconds; ``payload``: values that JSON can hold."""
    raw = msgspec.Raw(msgspec.json.encode(payload))
    return Event(id=str(uuid.uuid4()), type=type_, company_id=company_id, timestamp=timestamp, payload=raw)


@dataclass(frozen=True, slots=True)
class Publish(Request[None]):
    """Store events, then send them to subscribers. Answered once they are stored. Refused: `storage_unavailable`."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Announce:
    """`Publish` without a reply: events that find no room are dropped and counted."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Subscribe(Request[Any]):
    """Answered with an `actors.events.Subscription` (async iterable of `Event`; `.close()`); ``after`` replays from the log first."""

    after: int | None = None
    company_ids: frozenset[str] | None = None
    types: frozenset[str] | None = None
    is_own: bool = False
    """Do not count it against ``events.max_subscribers``: webhooks and dashboards have limits of their own."""
    reader: str = ""
    """The name of the reader, like a key's id: readers take turns at the log."""


class EventPage(Answer, frozen=True, kw_only=True):
    events: tuple[Event, ...]
    next: int
    """The ``after`` of the next page."""


@dataclass(frozen=True, slots=True)
class ReadEvents(Request[EventPage]):
    after: int = 0
    limit: int = 100
    company_ids: frozenset[str] | None = None
    types: frozenset[str] | None = None
    latest: bool = False
    """Return the last ``limit`` of them instead of the first."""
    reader: str = ""
    """As in `Subscribe`."""
