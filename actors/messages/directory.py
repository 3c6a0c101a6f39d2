"""Requests and notices to the directory of companies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actors.messages.basis import Answer, CompanyState
from supervisor import ActorRef, Request


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
    """Answered with the company's actor. Refused: `no_such_company`."""

    company_id: str


@dataclass(frozen=True, slots=True)
class EnsureCompany(Request[ActorRef]):
    """As `FindCompany`, but make a missing company and record it as one to run. Refused: `storage_unavailable`, `owned_elsewhere`."""

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
    asked_at: float
    """On trio's clock: the lease counts from then."""


@dataclass(frozen=True, slots=True)
class LeaseDropped:
    """From a company to the directory: the lease was given back."""

    company_id: str


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """From health to the directory."""

    company_id: str
    healthy: bool
