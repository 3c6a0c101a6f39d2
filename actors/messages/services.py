"""Requests to the limiter, health and HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from actors.messages.basis import Answer
from supervisor import Request


class Allowance(Answer, frozen=True, kw_only=True):
    allowed: bool
    limit: int
    remaining: int
    reset_after_s: float
    """Seconds until one more would be allowed (0 when allowed)."""


Counted = Literal["messages", "lookups", "orders", "admin_orders"]
"""What is limited, each separately: messages out, look-ups whether a number is on WhatsApp, and orders that begin or end a session. A
company's own key cannot use up what an administrator may order."""


@dataclass(frozen=True, slots=True)
class TakeToken(Request[Allowance]):
    company_id: str
    of: Counted = "messages"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit`` within any ``window_s`` seconds."""

    limit: int
    window_s: float


@dataclass(frozen=True, slots=True)
class SetRateLimit:
    """Apply these rates from now on. What was counted stays counted."""

    rates: Mapping[Counted, Rate]


class DaemonHealth(Answer, frozen=True, kw_only=True):
    """What /readyz rests on."""

    ready: bool
    checks: dict[str, bool]


@dataclass(frozen=True, slots=True)
class GetDaemonHealth(Request[DaemonHealth]):
    pass


@dataclass(frozen=True, slots=True)
class ReloadFiles:
    """Read the certificate's files again, and look every API key up in the database again."""


@dataclass(frozen=True, slots=True)
class GetHttpAddress(Request[tuple[str, int]]):
    """Answered with the host and port that HTTP is served on (the actual port, when the setting is any free one)."""
