"""What may be asked of the storage actor, the only writer of auth state, leases, companies and events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actors.messages import Event
from storage.tables.auth_state import Delta
from storage.tables.leases import Lease, Renewal
from storage.tables.media import NewMedia
from storage.tables.ownership import NotWanted
from supervisor import Request


@dataclass(frozen=True, slots=True)
class CommitDelta(Request[None]):
    """Answered after the commit. Refused: `lease_lost` (nothing written), `storage_unavailable` (try again; repeating is harmless)."""

    delta: Delta


@dataclass(frozen=True, slots=True)
class AppendEvents(Request[tuple[int, ...]]):
    """Answered with each event's ``seq`` after the commit; an event id that is there already keeps its ``seq``."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class KeepMedia(Request[None]):
    """Answered after the commit; what is kept already stays, so repeating is harmless."""

    company_id: str
    media: tuple[NewMedia, ...]
    """All of that company."""
    keep_s: float


@dataclass(frozen=True, slots=True)
class AcquireLease(Request[Lease | NotWanted]):
    """Take the lease to run the company, if that is what the record wants. Refused: `owned_elsewhere`."""

    company_id: str


@dataclass(frozen=True, slots=True)
class RenewLeases(Request[Renewal]):
    """Answered with those that were renewed and those of which nothing can be said now; the rest is lost."""

    company_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class ReleaseLease(Request[None]):
    company_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class ArchiveAuth(Request[None]):
    """Move the auth state to the archive: no live identity is left, nothing is destroyed.

    Fenced by the lease of ``epoch`` like any other write (refused: `lease_lost`); without an epoch the lease is taken for it (refused:
    `owned_elsewhere`).
    """

    company_id: str
    reason: str
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class ClaimCompany(Request[Lease]):
    """Take the lease and record whether the company is to run; it is recorded anew when it was not. Refused, with nothing changed:
    `owned_elsewhere`."""

    company_id: str
    desired: Literal["running", "stopped"]


@dataclass(frozen=True, slots=True)
class RecordStop(Request[None]):
    """Record that the company is not to run. Refused, with nothing changed: `owned_elsewhere`."""

    company_id: str


@dataclass(frozen=True, slots=True)
class ForgetRecord(Request[None]):
    """Archive the auth state and remove the record, under the company's lease. Refused, with nothing changed: `owned_elsewhere`."""

    company_id: str
    reason: str
    give_back: bool
    """Leave the lease free, also when it was held before."""


@dataclass(frozen=True, slots=True)
class CheckWritable(Request[None]):
    """Refused `storage_unavailable` while commits fail or hang, or while somebody else has locked this company's rows: do not begin
    what could not be made durable."""

    company_id: str | None = None
