"""What follows when WhatsApp ends or refuses a connection: one table, pure.

Codes are whatsmeow's `ConnectFailureReason` and stream error codes. An unknown code is treated as a temporary fault: the company
reconnects with back-off, and the circuit breaker bounds the attempts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from actors.company.trouble import in_words
from actors.engine.protocol.messages import Closed
from actors.messages import CompanyState


class Credentials(Enum):
    """What happens to the stored identity."""

    KEEP = "keep"
    ARCHIVE = "archive"
    """WhatsApp says this device is no longer linked: move the auth state to the archive, never destroy it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a company goes after its WhatsApp connection closed."""

    state: CompanyState
    reason: str
    credentials: Credentials = Credentials.KEEP
    retry: bool = False
    """Another attempt follows without an order, after the back-off that belongs to ``state``."""


_LOGGED_OUT = {
    401: "WhatsApp logged this device out",
    403: "WhatsApp locked the account",
    406: "WhatsApp banned the account",
    411: "the device was removed from the account",
    414: "the account has an unknown error (414)",
}
_BANNED = {402: "WhatsApp banned the account for a time"}
_OUTDATED = {405: "this WhatsApp client version is too old", 409: "WhatsApp refuses this user agent"}


def classify(closed: Closed) -> Outcome:
    """Return the outcome of one disconnect, for a company that is linked or being linked."""
    match closed.kind:
        case "replaced":
            return Outcome(CompanyState.CONFLICT, "another client took over this session", retry=True)
        case "outdated":
            return Outcome(CompanyState.OUTDATED, _OUTDATED[405])
        case "temporary_ban":
            return Outcome(CompanyState.BANNED, closed.text or _BANNED[402], retry=closed.expires_in_s is not None)
        case "logged_out":
            return _logged_out(closed)
        case "pairing_failed":
            return Outcome(CompanyState.UNLINKED, in_words(closed.text or "pairing failed"))
        case "storage_full":
            return Outcome(CompanyState.SUSPENDED, closed.text or "the disk takes no writes", retry=True)
        case "connect_failure" | "stream_error" | "disconnected":
            return _by_code(closed)


def _by_code(closed: Closed) -> Outcome:
    if closed.code in _LOGGED_OUT and closed.kind != "disconnected":
        return _logged_out(closed)
    if closed.code in _BANNED:
        return Outcome(CompanyState.BANNED, _BANNED[closed.code], retry=closed.expires_in_s is not None)
    if closed.code in _OUTDATED:
        return Outcome(CompanyState.OUTDATED, _OUTDATED[closed.code])
    what = f"{closed.kind.replace('_', ' ')} {closed.code}" if closed.code else closed.kind.replace("_", " ")
    return Outcome(CompanyState.RECONNECTING, _explained(what, closed.text), retry=True)


def _explained(what: str, text: str) -> str:
    words = in_words(text)
    return words if words != text else f"{what}: {text}" if text else what


def _logged_out(closed: Closed) -> Outcome:
    reason = _LOGGED_OUT.get(closed.code, _LOGGED_OUT[401])
    return Outcome(CompanyState.LOGGED_OUT, reason, credentials=Credentials.ARCHIVE)
