"""What a company does while another daemon owns it, and when nobody does any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from actors.messages import CompanyState

if TYPE_CHECKING:
    from actors.company.actor import CompanyActor

TAKE_UP_WITHIN_S: Final = 0.25
"""Several daemons hear of a free lease in the same moment: each company is taken up a little later, at random, so that each daemon gets
some of them."""

S = CompanyState


def take_up(actor: CompanyActor, *, is_linked: bool) -> None:
    """Nobody owns the company, which is to run. Only one that rests for another daemon's sake takes it up."""
    if actor.session is not None or actor.will_start or actor.condition.state not in (S.ELSEWHERE, S.STOPPED):
        return
    if is_linked:
        actor.bring_up_within(TAKE_UP_WITHIN_S)
    else:
        actor.enter(S.UNLINKED, "no phone is linked")


def stand_down(actor: CompanyActor) -> None:
    """The company was stopped at the daemon that owned it."""
    if actor.condition.state is S.ELSEWHERE:
        actor.enter(S.STOPPED, "stopped at another daemon")
