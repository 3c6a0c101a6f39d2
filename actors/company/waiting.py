"""Sends and queries that arrive while a company is reconnecting: a bounded number wait for a short time, the others are refused with
the time to try again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

import trio

from actors.messages import CompanyState, Refused
from supervisor import ReplyTo

if TYPE_CHECKING:
    from actors.company.actor import CompanyActor

S = CompanyState
RETRY_AFTER_S: Final = 2.0
_ON_ITS_WAY: Final = frozenset({S.CONNECTING, S.RECONNECTING})
_COMES_BACK: Final = frozenset({S.SUSPENDED, S.CONFLICT, S.BANNED})
"""States that end by themselves when a next attempt is set, but later than any caller waits."""


@final
class Waiters:
    """The callers that wait for one company, and the news they wait for."""

    def __init__(self) -> None:
        self.count = 0
        self.changed = trio.Event()

    def tell(self) -> None:
        """Wake the waiting callers: the company's state has changed."""
        self.changed.set()
        self.changed = trio.Event()


def wait_connected(actor: CompanyActor, within_s: float) -> None:
    """Reply once the company is connected; refuse with `away` when that cannot be expected, or has not happened, within ``within_s``."""
    if actor.condition.state is S.CONNECTED:
        actor.context.defer().reply(None)
        return
    until = trio.current_time() + within_s
    if not _may_come(actor, until):
        raise away(actor)
    if actor.waiters.count >= actor.ports.settings.max_waiting_sends:
        raise Refused("reconnecting", "too many requests wait for this company already", retry_after_s=RETRY_AFTER_S)
    actor.waiters.count += 1
    actor.context.spawn(_wait, actor, until, actor.context.defer(), name="wait")


async def _wait(actor: CompanyActor, until: float, reply: ReplyTo[Any]) -> None:
    try:
        with trio.CancelScope(deadline=until):
            while _may_come(actor, until):
                await actor.waiters.changed.wait()
        if actor.condition.state is S.CONNECTED:
            reply.reply(None)
        else:
            reply.fail(away(actor))
    finally:
        actor.waiters.count -= 1


def _may_come(actor: CompanyActor, until: float) -> bool:
    """Whether the company is reconnecting and its next attempt comes before ``until``."""
    left_s = _next_attempt_in_s(actor)
    return (
        _is_on_its_way(actor)
        and (left_s is None or trio.current_time() + left_s < until)
        and until > trio.current_time()
    )


def _is_on_its_way(actor: CompanyActor) -> bool:
    return actor.will_start or actor.condition.state in _ON_ITS_WAY


def _next_attempt_in_s(actor: CompanyActor) -> float | None:
    return None if actor.next_attempt_at is None else max(0.0, actor.next_attempt_at - actor.ports.wall_clock())


def away(actor: CompanyActor) -> Refused:
    """Return why nothing can be sent now: the state record's code, or `no_active_session` for a state that only an operator can end."""
    state = actor.condition.state
    text = f"the company is {state.value}: {actor.condition.reason}"
    left_s = _next_attempt_in_s(actor)
    if actor.condition.code is not None:
        return Refused(actor.condition.code, text, company_id=actor.company_id)
    if _is_on_its_way(actor) or state is S.CONNECTED or (state in _COMES_BACK and left_s is not None):
        return Refused(
            "reconnecting", text, retry_after_s=max(RETRY_AFTER_S, left_s or 0.0), company_id=actor.company_id
        )
    code = "owned_elsewhere" if state is S.ELSEWHERE else "no_active_session"
    return Refused(code, text, company_id=actor.company_id)
