"""Sends and questions that come while a company is on its way back: they wait a little, a bounded number at once, or are refused with
when to come again."""

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
"""With a next attempt they end by themselves, later than anything waits for."""


@final
class Waiters:
    """Those who wait for one company, and the news that they wait for."""

    def __init__(self) -> None:
        self.count = 0
        self.changed = trio.Event()

    def tell(self) -> None:
        """The company's condition is another."""
        self.changed.set()
        self.changed = trio.Event()


def wait_connected(actor: CompanyActor, within_s: float) -> None:
    """Answer once the company is connected; refused with `away` when that is not to be expected within the time, or has not come."""
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
    """Whether it is on its way, and its next attempt is not too late."""
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
    """Why nothing can be sent now: the condition's own code, or `no_active_session` for what only an operator can end."""
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
