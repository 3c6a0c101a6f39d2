"""Linking a company whose account wants a passkey: the linker's news and the callers' requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio

from actors.company.link import Call, EngineRefused, LinkLost
from actors.company.offers import PasskeyWalk
from actors.company.states import LINKING
from actors.engine.protocol import messages as protocol
from actors.messages import AnswerPasskey, CompanyState, ConfirmPasskey, GetPasskey, Passkey, Refused
from supervisor import ReplyTo

if TYPE_CHECKING:
    from actors.company.actor import CompanyActor

S = CompanyState
ORIGIN: Final = "https://web.whatsapp.com"
STEP_S: Final = 50.0
"""Time for one step, which asks WhatsApp twice."""
_CODES: Final = frozenset({"no_passkey_wanted", "invalid_passkey_response", "passkey_rejected"})


def take(actor: CompanyActor, said: protocol.PasskeyWanted | protocol.PasskeyCode | protocol.PasskeyFailed) -> None:
    """Handle what the linker says about the passkey."""
    linking = actor.linking
    if linking is None or actor.condition.state not in LINKING:
        return
    match said:
        case protocol.PasskeyWanted(options, valid_s):
            valid_s = min(valid_s, actor.ports.settings.passkey_timeout_s)
            linking.passkey = PasskeyWalk(options, trio.current_time() + valid_s)
            actor.enter(S.PASSKEY, "WhatsApp wants a passkey of this account")
            actor.set_deadline(valid_s)
            actor.announcer.announce("passkey_required", options=msgspec.Raw(options), origin=ORIGIN, validS=valid_s)
        case protocol.PasskeyCode(code, needs_confirmation) if linking.passkey is not None:
            linking.passkey.step = "confirm" if needs_confirmation else "finishing"
            linking.passkey.code = code if needs_confirmation else None
        case protocol.PasskeyFailed(text) if linking.passkey is not None:
            linking.passkey.step, linking.passkey.code, linking.passkey.error = "response", None, text
        case _:
            return


def order(actor: CompanyActor, request: GetPasskey | AnswerPasskey | ConfirmPasskey) -> Passkey | None:
    """Return the reply, or None when it follows once WhatsApp has answered."""
    walk = _walk(actor)
    match request:
        case GetPasskey():
            return _passkey(actor, walk)
        case AnswerPasskey(response):
            _begin(actor, walk, lambda call: protocol.AnswerPasskey(call=call, response=response), "response", "phone")
        case ConfirmPasskey():
            _begin(actor, walk, lambda call: protocol.ConfirmPasskey(call=call), "confirm", "finishing")
    return None


def _walk(actor: CompanyActor) -> PasskeyWalk:
    walk = actor.linking.passkey if actor.linking is not None else None
    if walk is None or actor.condition.state is not S.PASSKEY:
        raise Refused("no_passkey_wanted", "WhatsApp does not want a passkey of this company now")
    return walk


def _passkey(actor: CompanyActor, walk: PasskeyWalk) -> Passkey:
    return Passkey(
        company_id=actor.company_id,
        step=walk.step,
        options=msgspec.Raw(walk.options),
        origin=ORIGIN,
        code=walk.code,
        error=walk.error,
        expires_at=round(actor.ports.wall_clock() + walk.expires_at - trio.current_time(), 3),
    )


def _begin(actor: CompanyActor, walk: PasskeyWalk, make: Callable[[int], Call], at: str, then: str) -> None:
    if walk.step != at:
        raise Refused("no_passkey_wanted", f"this step is over, or not yet due: linking is at {walk.step!r}")
    actor.context.spawn(_ask, actor, walk, make, then, actor.context.defer(), name="passkey")


async def _ask(
    actor: CompanyActor, walk: PasskeyWalk, make: Callable[[int], Call], then: Any, reply: ReplyTo[Any]
) -> None:
    link = actor.session.link if actor.session is not None else None
    before = walk.step
    if link is None:
        reply.fail(Refused("no_passkey_wanted", "the process that links this company is gone"))
        return
    try:
        # Before the call: the phone's half may come before the answer.
        walk.step, walk.error = then, None
        await link.call(make, timeout_s=STEP_S)
    except (EngineRefused, LinkLost) as error:
        if walk.step == then:
            walk.step = before  # pyright: ignore[reportAttributeAccessIssue] - it was this before
        code = error.code if isinstance(error, EngineRefused) and error.code in _CODES else "passkey_rejected"
        walk.error = error.text if isinstance(error, EngineRefused) else str(error)
        reply.fail(Refused(code, walk.error))
    else:
        reply.reply(_passkey(actor, walk))
