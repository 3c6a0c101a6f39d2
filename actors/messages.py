"""What actors say to each other and to the HTTP side: requests (with the type they are answered with), answers and notices.

Requests and notices never leave the process and are plain frozen dataclasses; answers that HTTP sends on are msgspec structs whose
fields are renamed to camelCase on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import msgspec

from supervisor import ActorRef, Refusal, Request


class CompanyState(StrEnum):
    """The states of a company (docs/ARCHITECTURE.md has the transitions)."""

    STOPPED = "stopped"
    UNLINKED = "unlinked"
    PAIRING = "pairing"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    SUSPENDED = "suspended"
    CONFLICT = "conflict"
    LOGGED_OUT = "logged_out"
    BANNED = "banned"
    OUTDATED = "outdated"
    FAILED = "failed"


class Refused(Refusal):
    """An expected refusal with the stable ``code`` of the problem catalogue (actors/http/problems.py); the asked actor goes on unharmed."""

    def __init__(
        self, code: str, text: str, *, retry_after_s: float | None = None, company_id: str | None = None
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.retry_after_s = retry_after_s
        self.company_id = company_id


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what goes out as JSON."""


# --- a company --------------------------------------------------------------------------------------------------------


class Evidence(Answer, frozen=True, kw_only=True):
    """Ages in seconds of what the status rests on; None: never since the actor started."""

    connected_age_s: float | None
    round_trip_age_s: float | None
    round_trip_s: float | None
    message_age_s: float | None
    commit_age_s: float | None


class CompanyStatus(Answer, frozen=True, kw_only=True):
    company_id: str
    status: CompanyState
    reason: str
    connected: bool
    since: float
    """Unix seconds of the last transition."""
    phone_number: str | None
    """E.164 of the linked account."""
    lid: str | None
    reconnect_attempts: int
    next_attempt_at: float | None
    restarts: int
    engine: str | None
    """Path of the EngineActor that hosts it."""
    lease_epoch: int | None
    evidence: Evidence


class HealthReport(Answer, frozen=True, kw_only=True):
    company_id: str
    healthy: bool
    status: CompanyState
    phone_number: str | None
    checks: dict[str, bool]
    """`lease`, `engine`, `connected`, `roundTrip`, `storage`."""


class Offer(Answer, frozen=True, kw_only=True):
    """A QR code or a pairing code on offer."""

    company_id: str
    method: Literal["qr", "code"]
    qr: str | None = None
    pairing_code: str | None = None
    expires_at: float
    """Unix seconds."""


class Sent(Answer, frozen=True, kw_only=True):
    company_id: str
    phone: str
    message_id: str
    timestamp: float


@dataclass(frozen=True, slots=True)
class Initialize(Request[Offer]):
    """Start linking. Refused: `already_linked`, `invalid_phone`, `whatsapp_unreachable`, `engine_unavailable`."""

    method: Literal["qr", "code"] = "qr"
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class GetOffer(Request[Offer]):
    """The present QR. Refused: `no_qr`."""


@dataclass(frozen=True, slots=True)
class Quoted:
    message_id: str
    sender: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class SendText(Request[Sent]):
    """Answered after WhatsApp acknowledged it and its ratchet step is committed.

    Refused: `no_active_session`, `rate_limited`, `send_timeout`, `storage_unavailable`, `recipient_not_on_whatsapp`, `engine_unavailable`.
    """

    to: str
    """Full JID."""
    phone: str
    """The recipient as the caller wrote it, normalised; repeated in the answer."""
    text: str
    message_id: str | None = None
    quoted: Quoted | None = None


@dataclass(frozen=True, slots=True)
class GetStatus(Request[CompanyStatus]):
    pass


@dataclass(frozen=True, slots=True)
class CheckHealth(Request[HealthReport]):
    """Makes a real round trip, at most once a second."""


@dataclass(frozen=True, slots=True)
class StartSession(Request[CompanyStatus]):
    pass


@dataclass(frozen=True, slots=True)
class StopSession(Request[CompanyStatus]):
    pass


@dataclass(frozen=True, slots=True)
class RestartSession(Request[CompanyStatus]):
    pass


@dataclass(frozen=True, slots=True)
class Logout(Request[CompanyStatus]):
    """Unlink at WhatsApp and archive the credentials. Refused: `not_linked`."""


@dataclass(frozen=True, slots=True)
class LeaseWasLost:
    """To a company from the directory: drop the socket now."""

    why: str
    elsewhere: bool
    """Another daemon owns it; False: it could not be renewed in time."""


# --- directory --------------------------------------------------------------------------------------------------------


class SessionSummary(Answer, frozen=True, kw_only=True):
    company_id: str
    connected: bool
    status: CompanyState
    health: Literal["healthy", "unhealthy", "unknown"]


class SessionPage(Answer, frozen=True, kw_only=True):
    count: int
    sessions: tuple[SessionSummary, ...]
    next: str | None
    """Cursor for the next page, None on the last."""


@dataclass(frozen=True, slots=True)
class ListSessions(Request[SessionPage]):
    after: str | None = None
    limit: int = 100
    only: frozenset[str] | None = None
    """Restrict to these companies (the caller's key)."""


@dataclass(frozen=True, slots=True)
class FindCompany(Request[ActorRef]):
    """The company's actor. Refused: `no_such_company`."""

    company_id: str


@dataclass(frozen=True, slots=True)
class EnsureCompany(Request[ActorRef]):
    """The company's actor, made (and recorded as one to run) when there is none. Refused: `storage_unavailable`, `owned_elsewhere`."""

    company_id: str


@dataclass(frozen=True, slots=True)
class ForgetCompany(Request[None]):
    """Stop the actor, archive its auth state, remove its record. Refused: `no_such_company`."""

    company_id: str


@dataclass(frozen=True, slots=True)
class SetDesired(Request[None]):
    """Record whether the company is to run after the next start of the daemon."""

    company_id: str
    desired: Literal["running", "stopped"]


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """From a company to the directory and the metrics, at each transition."""

    company_id: str
    status: CompanyState
    connected: bool


@dataclass(frozen=True, slots=True)
class LeaseTaken:
    """From a company to the directory, which renews the lease from now on."""

    company_id: str


@dataclass(frozen=True, slots=True)
class LeaseDropped:
    """From a company to the directory: the lease was given back."""

    company_id: str


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """From health to the directory."""

    company_id: str
    healthy: bool


# --- engines ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EnginePlace:
    engine: str
    """Path of the EngineActor."""
    socket_path: str


@dataclass(frozen=True, slots=True)
class TakePlace(Request[EnginePlace]):
    """A running engine process with room (the same one again for a company that has one). Refused: `engine_unavailable`."""

    company_id: str


@dataclass(frozen=True, slots=True)
class LeavePlace:
    company_id: str


@dataclass(frozen=True, slots=True)
class PlaceWasFull:
    """From a company to placement: the engine process it was sent to had no room. What placement knows of it is wrong."""

    company_id: str


@dataclass(frozen=True, slots=True)
class WaitReady(Request[str]):
    """To an EngineActor: its socket path, once the process accepts connections."""


# --- events -----------------------------------------------------------------------------------------------------------


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One event as applications see it. ``seq`` is 0 until it is stored."""

    id: str
    seq: int = 0
    type: str
    company_id: str
    timestamp: float
    payload: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Publish(Request[None]):
    """Store events, then tell subscribers. Answered once they are stored. Refused: `storage_unavailable`."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Announce:
    """The same for one who does not wait: events that are too many are dropped and counted."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Subscribe(Request[Any]):
    """Answered with an `actors.events.Subscription` (async iterable of `Event`; `.close()`); ``after`` replays from the log first."""

    after: int | None = None
    company_ids: frozenset[str] | None = None
    types: frozenset[str] | None = None


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


# --- limiter ----------------------------------------------------------------------------------------------------------


class Allowance(Answer, frozen=True, kw_only=True):
    allowed: bool
    limit: int
    remaining: int
    reset_after_s: float
    """Seconds until one more would be allowed (0 when allowed)."""


@dataclass(frozen=True, slots=True)
class TakeToken(Request[Allowance]):
    company_id: str


# --- health and janitor -----------------------------------------------------------------------------------------------


class DaemonHealth(Answer, frozen=True, kw_only=True):
    """What /readyz rests on."""

    ready: bool
    checks: dict[str, bool]


@dataclass(frozen=True, slots=True)
class GetDaemonHealth(Request[DaemonHealth]):
    pass


# --- HTTP -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GetHttpAddress(Request[tuple[str, int]]):
    """Host and port that HTTP is served on (the real one, when any free port was asked for)."""
