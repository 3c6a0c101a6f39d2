"""Queries and orders to a company, and its replies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from actors.messages.basis import Answer, CompanyState
from supervisor import Request


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
    reason_code: str | None = None
    """The reason as a code of the API, where a send is refused with that one until the state ends: `storage_full`."""


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


@dataclass(frozen=True, slots=True)
class Initialize(Request[Offer]):
    """Start linking. Refused: `already_linked`, `invalid_phone`, `whatsapp_unreachable`, `engine_unavailable`."""

    method: Literal["qr", "code"] = "qr"
    phone: str | None = None


@dataclass(frozen=True, slots=True)
class GetOffer(Request[Offer]):
    """The present QR. Refused: `no_qr`."""


class Passkey(Answer, frozen=True, kw_only=True):
    """How far linking with a passkey is."""

    company_id: str
    step: Literal["response", "phone", "confirm", "finishing"]
    """What is waited for: the browser's response, the phone's half, the comparison of codes, the end."""
    options: msgspec.Raw
    """`PublicKeyCredentialRequestOptionsJSON`: what `navigator.credentials.get()` is given at WhatsApp's origin."""
    origin: str
    """Where the response must be made."""
    code: str | None = None
    """``ABCD-1234``, in `confirm`: the phone shows the same one."""
    error: str | None = None
    """Why the last response came to nothing."""
    expires_at: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class GetPasskey(Request[Passkey]):
    """Refused: `no_passkey_wanted`."""


@dataclass(frozen=True, slots=True)
class AnswerPasskey(Request[Passkey]):
    """Give the browser's response. Refused, with nothing changed: `no_passkey_wanted`, `invalid_passkey_response`, `passkey_rejected`."""

    response: bytes
    """JSON of ``PublicKeyCredential.toJSON()``."""


@dataclass(frozen=True, slots=True)
class ConfirmPasskey(Request[Passkey]):
    """The phone shows the same code. Refused: `no_passkey_wanted`, `passkey_rejected`."""


@dataclass(frozen=True, slots=True)
class GetStatus(Request[CompanyStatus]):
    pass


@dataclass(frozen=True, slots=True)
class CheckHealth(Request[HealthReport]):
    """Makes a real round trip, at most once a second."""


@dataclass(frozen=True, slots=True)
class WaitConnected(Request[None]):
    """Answered once the company is connected. Refused when it cannot be expected to connect within the time, or has not: `reconnecting`
    when it comes back by itself, `owned_elsewhere`, `no_active_session` when an operator has to act."""

    within_s: float


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
class TakeUp:
    """To a company from the directory: it is recorded as one to run, and has no owner. Its actor starts it if another daemon owned it, or
    stopped it."""

    is_linked: bool


@dataclass(frozen=True, slots=True)
class StandDown:
    """To a company from the directory: it is recorded as stopped, so it must not wait for its lease any longer."""


@dataclass(frozen=True, slots=True)
class LeaseExtended:
    """To a company from the directory: it may stay connected to WhatsApp until ``until``."""

    until: float
    """On trio's clock."""


@dataclass(frozen=True, slots=True)
class DiskFailed:
    """To the directory, and from it to each company: the state directory takes no writes, so nothing that arrives could be stored."""

    reason: str
    """In words."""


@dataclass(frozen=True, slots=True)
class LeaseWasLost:
    """To a company from the directory: drop the socket now."""

    why: str
    elsewhere: bool
    """Another daemon owns it; False: it could not be renewed in time."""
