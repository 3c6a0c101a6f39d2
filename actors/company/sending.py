"""Sending one message: accepted by WhatsApp and its ratchet step committed, or a clear refusal."""

from __future__ import annotations

import re
from typing import Any

import trio

from actors.company.link import EngineRefused, LinkLost
from actors.company.ports import CompanyPorts
from actors.company.session import Session
from actors.company.shipping import ShippingStopped
from actors.engine.protocol import messages as protocol
from actors.messages import Refused, SendContent, SendText, Sent
from actors.storage.requests import CheckWritable
from supervisor.errors import SupervisorError

STORAGE_RETRY_AFTER_S = 5.0
ENGINE_RETRY_AFTER_S = 2.0

_CODES = {
    "not_connected": "reconnecting",
    "not_linked": "no_active_session",
    "timeout": "send_timeout",
    "no_such_recipient": "recipient_not_on_whatsapp",
    "not_in_group": "not_in_group",
    "no_such_group": "no_such_group",
    "no_such_message": "no_such_message",
    "rejected": "send_rejected",
    "storage_full": "storage_full",
}


# whatsmeow's sentence for a message that was acknowledged with an error.
_RESTRICTED = re.compile(r"server returned error (463|475)\b")
_RESTRICTED_TEXT = "WhatsApp lets this account write only to people who wrote to it first"
_NOT_CONFIRMED = "the message was not confirmed in time; it may still arrive"
_HELD_BACK = (
    "Postgres does not take writes at the moment; the message was held back until it does, and may still be sent"
)


async def send_message(session: Session, request: SendText | SendContent, ports: CompanyPorts) -> Sent:
    """Send and wait until it is durable; raises Refused with the code of the problem catalogue."""
    gives_up_at = trio.current_time() + ports.settings.send_timeout_s
    await _require_storage(session.company_id, ports, ports.settings.send_timeout_s)
    answer = await _ask_engine(session, request, ports, gives_up_at)
    await _require_commit(session, answer.position, ports, gives_up_at)
    return Sent(
        company_id=session.company_id,
        phone=request.phone,
        message_id=answer.message_id,
        timestamp=answer.timestamp,
    )


async def _require_storage(company_id: str, ports: CompanyPorts, within_s: float) -> None:
    try:
        await ports.storage.ask(CheckWritable(company_id), timeout=min(within_s, ports.storage_timeout_s))
    except SupervisorError as error:
        raise _storage_unavailable() from error


async def _ask_engine(
    session: Session, request: SendText | SendContent, ports: CompanyPorts, gives_up_at: float
) -> protocol.Sent:
    """Return the engine's answer. The message waits there until its key is in Postgres; if that takes long, `storage_unavailable`."""

    async def look() -> None:
        try:
            await _require_storage(session.company_id, ports, ports.storage_timeout_s)
        except Refused as refused:
            raise Refused("storage_unavailable", _HELD_BACK, retry_after_s=STORAGE_RETRY_AFTER_S) from refused

    if session.link is None:
        raise Refused("reconnecting", "the connection to the engine process was lost just now")
    timeout_s = max(0.0, gives_up_at - trio.current_time())
    try:
        answer = await session.link.call(
            lambda call: _call_of(request, call, timeout_s),
            timeout_s=timeout_s,
            look=look,
            look_every_s=ports.storage_timeout_s,
        )
    except EngineRefused as error:
        raise _refused(error) from error
    except LinkLost as error:
        raise Refused("engine_unavailable", str(error), retry_after_s=ENGINE_RETRY_AFTER_S) from error
    assert isinstance(answer, protocol.Sent)
    return answer


def _refused(error: EngineRefused) -> Refused:
    """Return the engine's refusal as a problem of the catalogue."""
    if error.code == "timeout":
        return Refused("send_timeout", _NOT_CONFIRMED)
    if error.code == "rejected" and (match := _RESTRICTED.search(error.text)) is not None:
        return Refused("account_restricted", f"{_RESTRICTED_TEXT} ({match.group(1)})")
    return Refused(_CODES.get(error.code, "engine_unavailable"), error.text)


def _call_of(request: SendText | SendContent, call: int, timeout_s: float) -> protocol.SendText | protocol.SendContent:
    quoted = request.quoted
    common: dict[str, Any] = {
        "call": call,
        "timeout_s": timeout_s,
        "to": request.to,
        "quoted": None if quoted is None else protocol.QuotedMessage(quoted.message_id, quoted.sender, quoted.text),
        "mentions": request.mentions,
        "expiration": request.expiration,
    }
    if isinstance(request, SendContent):
        return protocol.SendContent(content=request.content, **common)
    return protocol.SendText(text=request.text, **common)


async def _require_commit(session: Session, position: int, ports: CompanyPorts, gives_up_at: float) -> None:
    assert session.shipment is not None
    if session.shipment.committed >= position:
        return
    with trio.move_on_at(min(trio.current_time() + ports.storage_timeout_s, gives_up_at)):
        try:
            await session.shipment.wait_committed(position)
        except ShippingStopped as error:
            text = f"the session ended before the message was durable, it may still arrive: {error}"
            raise Refused("engine_unavailable", text, retry_after_s=ENGINE_RETRY_AFTER_S) from error
        return
    if trio.current_time() >= gives_up_at:
        raise Refused("send_timeout", _NOT_CONFIRMED)
    raise Refused("storage_unavailable", _HELD_BACK, retry_after_s=STORAGE_RETRY_AFTER_S)


def _storage_unavailable() -> Refused:
    return Refused(
        "storage_unavailable", "Postgres does not take writes at the moment", retry_after_s=STORAGE_RETRY_AFTER_S
    )
