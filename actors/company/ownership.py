"""What a company does while another daemon owns it, and once its lease is free again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.messages import CompanyState

if TYPE_CHECKING:
    from actors.company.actor import CompanyActor

TAKE_UP_WITHIN_S: Final = 0.25
"""Several daemons hear of a free lease at the same moment: each waits a random time up to this, so that every daemon gets some
companies."""

S = CompanyState


def take_up(actor: CompanyActor, *, is_linked: bool) -> None:
    """Take over a company that is to run and that no daemon owns. Do nothing unless its state is `elsewhere` or `stopped`."""
    if actor.session is not None or actor.will_start or actor.condition.state not in (S.ELSEWHERE, S.STOPPED):
        return
    if is_linked:
        actor.bring_up_within(TAKE_UP_WITHIN_S)
    else:
        actor.enter(S.UNLINKED, "no phone is linked")


def stand_down(actor: CompanyActor) -> None:
    """Enter `stopped`: the daemon that owned the company has stopped it."""
    if actor.condition.state is S.ELSEWHERE:
        actor.enter(S.STOPPED, "stopped at another daemon")
