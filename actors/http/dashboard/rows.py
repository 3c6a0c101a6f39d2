"""The dashboard's rows: one for each actor and each company.

Ages grow all the time, so rows contain moments instead: a row changes only when something has happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from actors.messages import Answer, CompanyState, CompanyStatus, SessionSummary
from supervisor import ActorSnapshot

SAME_MOMENT_S: Final = 1.5
"""A moment that is computed from an age varies a little each time; smaller differences are ignored."""
LONG_IN_HAND_S: Final = 1.0
MAX_CRASH_CHARS: Final = 300


class CrashRow(Answer, frozen=True, kw_only=True):
    """How an actor last crashed, without its traceback."""

    type: str
    text: str
    message_type: str | None
    at: float


class ActorRow(Answer, frozen=True, kw_only=True):
    """One place in the tree. Times are Unix seconds."""

    path: str
    kind: str
    state: str
    since: float
    is_stuck: bool
    restarts: int
    mailbox_depth: int
    mailbox_capacity: int
    oldest_at: float | None
    """When the oldest waiting message arrived."""
    dropped: int
    handled: int
    handler_s: float
    current_message: str | None
    """Type of a message that has been handled for long."""
    remark: str | None
    """The actor's remark on its work, like ``suspended``."""
    crash: CrashRow | None


class SessionRow(Answer, frozen=True, kw_only=True):
    """One company. Fields that only its own actor knows are None until it has replied, then as of its last reply."""

    company_id: str
    status: CompanyState
    health: str
    answers: bool | None = None
    """Whether the actor replied when it was last asked."""
    reason: str | None = None
    since: float | None = None
    phone_number: str | None = None
    reconnect_attempts: int = 0
    next_attempt_at: float | None = None
    restarts: int = 0
    engine: str | None = None
    lease_epoch: int | None = None
    connected_at: float | None = None
    round_trip_at: float | None = None
    round_trip_s: float | None = None
    message_at: float | None = None
    commit_at: float | None = None


def actor_rows(
    root: ActorSnapshot, now: float, before: dict[str, float], remarks: Mapping[str, str]
) -> Iterator[tuple[str, ActorRow]]:
    """Yield every place from ``root`` down, each before its children. ``before``: when the oldest message arrived, as last shown; updated
    here. ``remarks``: actors' remarks on their work, by path.
    """
    moment = None if root.oldest_message_age is None else now - root.oldest_message_age
    steady = _same_or_new(before.get(root.path), moment)
    if steady is None:
        before.pop(root.path, None)
    else:
        before[root.path] = steady
    yield root.path, _actor_row(root, steady, remarks.get(root.path))
    for child in root.children:
        yield from actor_rows(child, now, before, remarks)


def count(root: ActorSnapshot) -> int:
    """Return the number of places from ``root`` down."""
    return 1 + sum(map(count, root.children))


def _actor_row(actor: ActorSnapshot, oldest_at: float | None, remark: str | None) -> ActorRow:
    crash = actor.last_crash
    is_long = (actor.current_message_seconds or 0.0) > LONG_IN_HAND_S
    return ActorRow(
        path=actor.path,
        kind=actor.kind,
        state=actor.state,
        since=round(actor.since, 1),
        is_stuck=actor.is_stuck,
        restarts=actor.restarts,
        mailbox_depth=actor.mailbox_depth,
        mailbox_capacity=actor.mailbox_capacity,
        oldest_at=oldest_at,
        dropped=actor.dropped,
        handled=actor.handled,
        handler_s=round(actor.handler_seconds, 3),
        current_message=actor.current_message if is_long else None,
        remark=remark,
        crash=None
        if crash is None
        else CrashRow(type=crash.type, text=crash.text[:MAX_CRASH_CHARS], message_type=crash.message_type, at=crash.at),
    )


def listed(summary: SessionSummary, before: SessionRow | None) -> SessionRow:
    """Return a company's row from the directory's list, with what was known before; what belongs to another status is dropped."""
    if before is None:
        return SessionRow(company_id=summary.company_id, status=summary.status, health=summary.health)
    if before.status is summary.status:
        return msgspec.structs.replace(before, health=summary.health)
    return msgspec.structs.replace(
        before, status=summary.status, health=summary.health, reason=None, since=None, next_attempt_at=None
    )


def answered(row: SessionRow, status: CompanyStatus, now: float) -> SessionRow:
    """Return ``row`` with the reply of the company's actor at ``now``."""
    evidence = status.evidence
    return SessionRow(
        company_id=row.company_id,
        status=status.status,
        health=row.health,
        answers=True,
        reason=status.reason,
        since=status.since,
        phone_number=status.phone_number,
        reconnect_attempts=status.reconnect_attempts,
        next_attempt_at=status.next_attempt_at,
        restarts=status.restarts,
        engine=status.engine,
        lease_epoch=status.lease_epoch,
        connected_at=_moment(evidence.connected_age_s, row.connected_at, now),
        round_trip_at=_moment(evidence.round_trip_age_s, row.round_trip_at, now),
        round_trip_s=evidence.round_trip_s,
        message_at=_moment(evidence.message_age_s, row.message_at, now),
        commit_at=_moment(evidence.commit_age_s, row.commit_at, now),
    )


def silent(row: SessionRow) -> SessionRow:
    """Return ``row`` for a company whose actor did not reply."""
    return msgspec.structs.replace(row, answers=False)


def _moment(age_s: float | None, before: float | None, now: float) -> float | None:
    return _same_or_new(before, None if age_s is None else now - age_s)


def _same_or_new(before: float | None, moment: float | None) -> float | None:
    if moment is None:
        return None
    return before if before is not None and abs(before - moment) < SAME_MOMENT_S else round(moment, 1)
