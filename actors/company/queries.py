"""A company's queries to WhatsApp: one call to the engine each, concurrent with sends, a bounded number at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from actors.company.link import Call, EngineLink, EngineRefused, LinkLost
from actors.company.waiting import away
from actors.engine.protocol import messages as protocol
from actors.messages import (
    CheckContact,
    CompanyState,
    ContactReport,
    DownloadFile,
    GetGroup,
    ListGroups,
    MarkRead,
    Refused,
    SetTyping,
    UploadFile,
)
from supervisor import ReplyTo

if TYPE_CHECKING:
    from actors.company.actor import CompanyActor

Inquiry = CheckContact | ListGroups | GetGroup | MarkRead | SetTyping | UploadFile | DownloadFile

RETRY_AFTER_S: Final = 2.0

_CODES: Final = {
    "not_connected": "reconnecting",
    "not_linked": "no_active_session",
    "timeout": "timeout",
    "no_such_recipient": "invalid_phone",
    "not_in_group": "not_in_group",
    "no_such_group": "no_such_group",
    "upload_failed": "media_upload_failed",
    "media_gone": "media_gone",
    "download_failed": "media_download_failed",
    "rejected": "send_rejected",
    "storage_full": "storage_full",
}


def inquire(actor: CompanyActor, request: Inquiry) -> None:
    """Begin a query; reply when WhatsApp has answered. Refuse at once when not connected or when too many are under way."""
    link = actor.session.link if actor.session is not None else None
    if actor.condition.state is not CompanyState.CONNECTED or link is None:
        raise away(actor)
    if actor.inquiries_in_flight >= actor.ports.settings.max_pending_inquiries:
        raise Refused("overloaded", "too many questions of this company are under way", retry_after_s=1.0)
    actor.inquiries_in_flight += 1
    actor.context.spawn(_inquire, actor, link, request, actor.context.defer(), name="inquiry")


async def _inquire(actor: CompanyActor, link: EngineLink, request: Inquiry, reply: ReplyTo[Any]) -> None:
    is_file = isinstance(request, UploadFile | DownloadFile)
    timeout_s = actor.ports.file_timeout_s if is_file else actor.ports.settings.inquiry_timeout_s
    try:
        # The engine gives up a moment earlier, so that its reason still arrives.
        answer = await link.call(_call_of(request, timeout_s), timeout_s=timeout_s + 1.0)
    except EngineRefused as error:
        code = _CODES.get(error.code, "engine_unavailable")
        actor.ports.metrics.error(code, actor.company_id)
        reply.fail(Refused(code, error.text, company_id=actor.company_id))
    except LinkLost as error:
        reply.fail(Refused("engine_unavailable", str(error), retry_after_s=RETRY_AFTER_S))
    else:
        reply.reply(_answer_of(answer))
    finally:
        actor.inquiries_in_flight -= 1


def _call_of(request: Inquiry, timeout_s: float) -> Callable[[int], Call]:
    match request:
        case CheckContact(jid):
            return lambda call: protocol.CheckNumber(call, jid, timeout_s)
        case ListGroups():
            return lambda call: protocol.ListGroups(call, timeout_s)
        case GetGroup(jid):
            return lambda call: protocol.GetGroup(call, jid, timeout_s)
        case MarkRead(chat, message_ids, sender):
            return lambda call: protocol.MarkRead(call, chat, message_ids, sender, timeout_s)
        case SetTyping(to, state):
            return lambda call: protocol.SetTyping(call, to, state, timeout_s)
        case UploadFile(path, kind):
            return lambda call: protocol.Upload(call, path, kind, timeout_s)
        case DownloadFile(file, path):
            return lambda call: protocol.Download(call, file, path, timeout_s)


def _answer_of(answer: Any) -> Any:
    match answer:
        case protocol.NumberChecked(_, exists, pn, lid):
            return ContactReport(on_whatsapp=exists, id=pn or lid, lid=lid)
        case protocol.Groups(_, groups):
            return groups
        case protocol.Uploaded(_, file):
            return file
        case _:
            return None
