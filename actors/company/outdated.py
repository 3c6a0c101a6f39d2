"""What a company does when WhatsApp refuses the version that its engine process announces (405)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.company.internal_messages import VersionDecided
from actors.messages import CompanyState

if TYPE_CHECKING:
    from actors.company.actor import CompanyActor

S = CompanyState
DECIDED_WITHIN_S: Final = 60.0
"""The most a company waits for the decision; the look-up behind it has a shorter limit."""
LOOKING: Final = "WhatsApp refuses this version; another one is looked for"
NO_OTHER: Final = "WhatsApp refuses this version and no newer one is known"


def version_of(actor: CompanyActor) -> str:
    """Return the version that this company's clients announce."""
    slot = actor.session.slot if actor.session is not None else None
    return "" if slot is None else slot.version


def is_stale(actor: CompanyActor) -> bool:
    """Whether the company's engine process announces another version than new engine processes do."""
    return actor.ports.versions.is_stale(version_of(actor))


async def refused(actor: CompanyActor, version: str) -> None:
    """Leave the engine process and wait for another version, or for the next attempt when there is none."""
    await actor.close_session(drain=True, keep_lease=True)
    wait(actor, version)


def wait(actor: CompanyActor, version: str) -> None:
    """Wait until another version is chosen, or until the next attempt when there is no other version."""
    versions = actor.ports.versions
    if versions.current.text != version:
        actor.wait_for_retry(S.RECONNECTING, LOOKING, 0.0)
        return
    if versions.is_exhausted:
        actor.ports.metrics.error("outdated", actor.company_id)
        actor.wait_for_retry(S.OUTDATED, NO_OTHER, actor.retry.after_outdated())
    else:
        actor.wait_for_retry(S.RECONNECTING, LOOKING, DECIDED_WITHIN_S)
    actor.watch_versions(version)


async def watch(actor: CompanyActor, version: str, serial: int) -> None:
    """Tell the actor about the next decision on versions."""
    await actor.ports.versions.changed.wait()
    await actor.context.ref.send(VersionDecided(serial, version))


async def decided(actor: CompanyActor, version: str) -> None:
    """Log in when another version is announced or ``version`` is accepted again; wait when there is no other."""
    versions = actor.ports.versions
    if versions.current.text == version and versions.is_exhausted:
        wait(actor, version)
    else:
        await actor.try_again("another version is announced")
