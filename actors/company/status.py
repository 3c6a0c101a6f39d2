"""A company's status and health report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.messages import CompanyState, CompanyStatus, HealthReport

if TYPE_CHECKING:
    from actors.company.actor import CompanyActor


def phone_number_of(jid: str | None) -> str | None:
    """Return the E.164 number of a JID such as ``79000000001:3@s.whatsapp.net``; None for any other JID."""
    if jid is None:
        return None
    user, _, server = jid.partition("@")
    digits = user.partition(":")[0].partition(".")[0]
    return f"+{digits}" if server in ("s.whatsapp.net", "c.us", "") and digits.isdigit() else None


def status_of(actor: CompanyActor) -> CompanyStatus:
    """Return the present status with its evidence."""
    condition, session = actor.condition, actor.session
    lease = session.lease if session is not None else actor.resting.lease if actor.resting is not None else None
    return CompanyStatus(
        company_id=actor.company_id,
        status=condition.state,
        reason=condition.reason,
        connected=condition.state is CompanyState.CONNECTED,
        since=round(condition.since, 3),
        phone_number=actor.phone_number,
        lid=actor.lid,
        reconnect_attempts=actor.retry.failures,
        next_attempt_at=None if actor.next_attempt_at is None else round(actor.next_attempt_at, 3),
        restarts=actor.context.incarnation - 1,
        engine=session.slot.engine if session is not None and session.slot is not None else None,
        lease_epoch=lease.epoch if lease is not None else None,
        evidence=actor.evidence.ages(),
        reason_code=condition.code,
    )


def health_report(actor: CompanyActor, *, round_trip: bool) -> HealthReport:
    """Return the health report; healthy means connected and a round trip that WhatsApp has just answered."""
    session = actor.session
    checks = {
        "lease": session is not None and session.lease is not None,
        "engine": session is not None and session.link is not None,
        "connected": actor.condition.state is CompanyState.CONNECTED,
        "roundTrip": round_trip,
    }
    return HealthReport(
        company_id=actor.company_id,
        healthy=all(checks.values()),
        status=actor.condition.state,
        phone_number=actor.phone_number,
        checks=checks,
    )
