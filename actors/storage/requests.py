"""Requests to the storage actor, the only writer of auth state, leases, companies and events."""

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
    """Commit a delta. Answered after the commit. Refused: `lease_lost` (nothing written), `storage_unavailable` (repeating is harmless)."""

    delta: Delta


@dataclass(frozen=True, slots=True)
class AppendEvents(Request[tuple[int, ...]]):
    """Answered with each event's ``seq`` after the commit; an event id that is there already keeps its ``seq``."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class KeepMedia(Request[None]):
    """Store media. Answered after the commit. Media stored before stay as they are, so repeating is harmless."""

    company_id: str
    media: tuple[NewMedia, ...]
    """All of them are of that company."""
    keep_s: float


@dataclass(frozen=True, slots=True)
class AcquireLease(Request[Lease | NotWanted]):
    """Take the lease to run the company, if it is recorded as one to run. Refused: `owned_elsewhere`."""

    company_id: str


@dataclass(frozen=True, slots=True)
class RenewLeases(Request[Renewal]):
    """Answered with the leases that were renewed, and those whose rows are locked, so that their state is unknown. The rest are lost."""

    company_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class ReleaseLease(Request[None]):
    company_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class ArchiveAuth(Request[None]):
    """Move the auth state to the archive: no live identity is left, and nothing is destroyed.

    With an ``epoch`` the write is fenced by that lease, like any other (refused: `lease_lost`). Without one it takes the lease first
    (refused: `owned_elsewhere`).
    """

    company_id: str
    reason: str
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class ClaimCompany(Request[Lease]):
    """Take the lease and record whether the company is to run, with a new record if there was none. Refused, with nothing changed:
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
    """Whether to leave the lease free, even if it was held before."""


@dataclass(frozen=True, slots=True)
class CheckWritable(Request[None]):
    """Refused with `storage_unavailable` while commits fail or hang, or while another transaction has locked this company's rows. Ask
    before beginning work that has to be durable."""

    company_id: str | None = None
