"""Bodies of responses: an actor's reply, and ``success``."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from actors.daemon.metrics import Totals
from actors.engine.protocol.contents import MediaKind
from actors.messages import (
    Answer,
    CompanyStatus,
    ContactReport,
    EventPage,
    HealthReport,
    Offer,
    Passkey,
    Sent,
    SessionPage,
)

R = TypeVar("R", bound=msgspec.Struct)


class Done(Answer, frozen=True, kw_only=True):
    """The request was carried out; there is nothing more to report."""

    success: bool = True


class ListMetrics(Answer, frozen=True, kw_only=True):
    """The counters that the list of sessions carries."""

    total_sessions: int
    active_connections: int
    messages_sent: int
    messages_received: int


class SessionsReply(SessionPage, frozen=True, kw_only=True):
    """A page of sessions; ``count`` is of all pages."""

    metrics: ListMetrics
    success: bool = True


class StatusReply(CompanyStatus, frozen=True, kw_only=True):
    """A company's state and the evidence for it."""

    success: bool = True


class HealthReply(HealthReport, frozen=True, kw_only=True):
    """Whether a company is well."""

    success: bool = True


class SentReply(Sent, frozen=True, kw_only=True):
    """A message that WhatsApp acknowledged."""

    success: bool = True


class MediaReply(Answer, frozen=True, kw_only=True):
    """A file that was uploaded."""

    company_id: str
    media_id: str
    kind: MediaKind
    mimetype: str
    size: int
    expires_at: float
    """Unix seconds."""
    success: bool = True


class ContactReply(ContactReport, frozen=True, kw_only=True):
    """Whether a number has an account on WhatsApp."""

    company_id: str
    phone: str
    success: bool = True


class GroupSummary(Answer, frozen=True, kw_only=True):
    """A group."""

    id: str
    """Its JID; messages to the group are sent to it."""
    subject: str
    description: str
    owner: str | None
    announcement: bool
    """Only admins may send."""
    locked: bool
    """Only admins may change subject and description."""
    size: int
    """How many members."""


class Member(Answer, frozen=True, kw_only=True):
    """A member of a group."""

    id: str
    pn: str | None
    lid: str | None
    admin: bool
    owner: bool


class GroupsReply(Answer, frozen=True, kw_only=True):
    """The groups of a company's account."""

    company_id: str
    count: int
    groups: tuple[GroupSummary, ...]
    success: bool = True


class GroupReply(Answer, frozen=True, kw_only=True):
    """A group and who is in it."""

    company_id: str
    group: GroupSummary
    members: tuple[Member, ...]
    success: bool = True


class OfferReply(Offer, frozen=True, kw_only=True):
    """What to scan or to type into the phone."""

    qr_data_url: str | None = None
    """The QR code as PNG in a data: URL."""
    qr_terminal: str | None = None
    """The QR code as lines of block characters."""
    message: str
    success: bool = True


class PasskeyReply(Passkey, frozen=True, kw_only=True):
    """How far linking with a passkey is, and what to do now."""

    message: str
    success: bool = True


class ForgottenReply(Answer, frozen=True, kw_only=True):
    """The company is forgotten; ``logged_out`` tells whether WhatsApp confirmed that the device is unlinked, ``erased`` whether everything
    stored under its id is gone already.
    """

    company_id: str
    logged_out: bool
    erased: bool
    success: bool = True


class EventsReply(EventPage, frozen=True, kw_only=True):
    """A page of events."""

    success: bool = True


class TicketReply(Answer, frozen=True, kw_only=True):
    """A one-time ticket."""

    ticket: str
    expires_at: float
    """Unix seconds."""
    success: bool = True


class MetricsReply(Totals, frozen=True, kw_only=True):
    """The metrics as JSON."""

    success: bool = True


class AuditedAction(Answer, frozen=True, kw_only=True):
    """Something that was done, or refused ``count`` times."""

    id: int
    at: float
    """Unix seconds."""
    key_id: str
    """The API key that acted; `wasup` for the daemon itself."""
    action: str
    target: str
    address: str
    count: int


class AuditReply(Answer, frozen=True, kw_only=True):
    """A page of the audit log, newest first."""

    records: tuple[AuditedAction, ...]
    next: int | None
    """The ``before`` of the next page; null on the last."""
    success: bool = True


def succeed(reply: type[R], answer: msgspec.Struct, **more: object) -> R:
    """Return ``answer`` as ``reply``, a type with the same fields and some ``more``."""
    return reply(**{name: getattr(answer, name) for name in answer.__struct_fields__}, **more)
