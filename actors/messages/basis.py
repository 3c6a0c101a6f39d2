"""What all messages share: the base of replies, refusals, and a company's states."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from supervisor import Refusal


class CompanyState(StrEnum):
    """The states of a company (docs/ARCHITECTURE.md has the transitions)."""

    STOPPED = "stopped"
    UNLINKED = "unlinked"
    PAIRING = "pairing"
    PASSKEY = "passkey"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    SUSPENDED = "suspended"
    CONFLICT = "conflict"
    ELSEWHERE = "elsewhere"
    LOGGED_OUT = "logged_out"
    BANNED = "banned"
    OUTDATED = "outdated"
    FAILED = "failed"


class Refused(Refusal):
    """An expected refusal with the stable ``code`` of the problem catalogue (actors/http/model/problems.py).

    The asked actor goes on; it does not crash.
    """

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
