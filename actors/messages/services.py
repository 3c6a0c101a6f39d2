"""What the limiter, health and HTTP are asked."""

from __future__ import annotations

from dataclasses import dataclass

from actors.messages.basis import Answer
from supervisor import Request


class Allowance(Answer, frozen=True, kw_only=True):
    allowed: bool
    limit: int
    remaining: int
    reset_after_s: float
    """Seconds until one more would be allowed (0 when allowed)."""


@dataclass(frozen=True, slots=True)
class TakeToken(Request[Allowance]):
    company_id: str


@dataclass(frozen=True, slots=True)
class SetRateLimit:
    """From now on; what was counted stays counted."""

    limit: int
    window_s: float


class DaemonHealth(Answer, frozen=True, kw_only=True):
    """What /readyz rests on."""

    ready: bool
    checks: dict[str, bool]


@dataclass(frozen=True, slots=True)
class GetDaemonHealth(Request[DaemonHealth]):
    pass


@dataclass(frozen=True, slots=True)
class ReloadFiles:
    """Read the certificate's files again, and ask the database again for every API key."""


@dataclass(frozen=True, slots=True)
class GetHttpAddress(Request[tuple[str, int]]):
    """Host and port that HTTP is served on (the real one, when any free port was asked for)."""
