"""Queries to WhatsApp about numbers and groups, and signals to chats other than messages."""

from __future__ import annotations

from typing import Annotated, TypeVar

from litestar import Controller, Response, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET

from actors.engine.protocol.orders import GroupDescription
from actors.http.access.guards import CompanyId, needs_company, needs_key
from actors.http.access.rate_limit import rate_limit_headers, take_token
from actors.http.model.message_schema import ReadBody, TypingBody
from actors.http.model.phones import parse_recipient
from actors.http.model.problems import Problem
from actors.http.model.responses import ContactReply, Done, GroupReply, GroupsReply, GroupSummary, Member
from actors.http.openapi.operations import BODY, OF_A_COMPANY, may_answer
from actors.http.services.backends import Backends, Injected
from actors.http.services.sending import require_connected
from actors.messages import CheckContact, GetGroup, ListGroups, MarkRead, SetTyping
from supervisor import Request

T = TypeVar("T")

_ASKING = (*OF_A_COMPANY, "no_active_session", "reconnecting", "engine_unavailable", "send_rejected")
_SPARE_S = 3.0


class ContactsController(Controller):
    """Numbers."""

    path = "/api/whatsapp/sessions/{company_id:str}/contacts"
    guards = (needs_key, needs_company)
    tags = ("contacts",)

    @get("/{phone:str}", summary="Is it on WhatsApp?", responses=may_answer(*_ASKING, "invalid_phone", "rate_limited"))
    async def check_contact(
        self,
        company_id: CompanyId,
        phone: Annotated[
            str, PathParameter(description="A phone number, or a JID of a person (@s.whatsapp.net, @lid)")
        ],
        backends: Injected,
    ) -> Response[ContactReply]:
        """Asks WhatsApp at every call and returns the id that WhatsApp names; its number may differ from the one asked about. A hidden id
        is looked up by the number that WhatsApp has named for it. Look-ups have a rate limit of their own: WhatsApp bans accounts that
        ask about thousands of numbers.
        """
        who = parse_recipient(phone, backends.region)
        if who.jid.endswith("@g.us"):
            raise Problem("invalid_phone", "a group is no contact: GET …/groups/{id} describes it")
        company = await backends.find(company_id)
        await require_connected(company, company_id, backends)
        allowance = await take_token(company_id, "lookups", backends)
        report = await _ask(company_id, CheckContact(who.jid), backends)
        reply = ContactReply(
            company_id=company_id, phone=who.phone, on_whatsapp=report.on_whatsapp, id=report.id, lid=report.lid
        )
        return Response(reply, headers=rate_limit_headers(allowance))


class GroupsController(Controller):
    """Groups."""

    path = "/api/whatsapp/sessions/{company_id:str}/groups"
    guards = (needs_key, needs_company)
    tags = ("contacts",)

    @get(summary="List groups", responses=may_answer(*_ASKING))
    async def list_groups(self, company_id: CompanyId, backends: Injected) -> GroupsReply:
        """The groups that the company's account is in."""
        found = await _ask(company_id, ListGroups(), backends)
        groups = tuple(_summary(group) for group in found)
        return GroupsReply(company_id=company_id, count=len(groups), groups=groups)

    @get(
        "/{group_id:str}",
        summary="One group",
        responses=may_answer(*_ASKING, "invalid_phone", "not_in_group", "no_such_group"),
    )
    async def get_group(
        self,
        company_id: CompanyId,
        group_id: Annotated[str, PathParameter(description="The group's JID: …@g.us")],
        backends: Injected,
    ) -> GroupReply:
        """A group that the account is in, with its members."""
        jid = parse_recipient(group_id, backends.region).jid
        if not jid.endswith("@g.us"):
            raise Problem("invalid_phone", "a group is called by its JID, which ends in @g.us")
        (group,) = await _ask(company_id, GetGroup(jid), backends)
        members = tuple(
            Member(id=one.id, pn=one.pn, lid=one.lid, admin=one.admin, owner=one.owner) for one in group.members
        )
        return GroupReply(company_id=company_id, group=_summary(group), members=members)


class ChatController(Controller):
    """Signals to chats other than messages."""

    path = "/api/whatsapp/sessions/{company_id:str}"
    guards = (needs_key, needs_company)
    tags = ("messages",)

    @post("/read", status_code=200, summary="Mark read", responses=may_answer(*_ASKING, *BODY, "invalid_phone"))
    async def mark_read(self, company_id: CompanyId, data: JSONBody[ReadBody], backends: Injected) -> Done:
        """The sender of the messages sees that they were read."""
        chat = parse_recipient(data.phone, backends.region).jid
        if data.sender is UNSET and chat.endswith("@g.us"):
            raise Problem("invalid_request", "sender: needed in a group")
        sender = None if data.sender is UNSET else parse_recipient(data.sender, backends.region).jid
        await _ask(company_id, MarkRead(chat, tuple(data.message_ids), sender), backends)
        return Done()

    @post("/typing", status_code=200, summary="Show typing", responses=may_answer(*_ASKING, *BODY, "invalid_phone"))
    async def set_typing(self, company_id: CompanyId, data: JSONBody[TypingBody], backends: Injected) -> Done:
        """Shown for some seconds; call again while it lasts."""
        chat = parse_recipient(data.phone, backends.region).jid
        await _ask(company_id, SetTyping(chat, data.state), backends)
        return Done()


async def _ask(company_id: str, request: Request[T], backends: Backends) -> T:
    company = await backends.find(company_id)
    await require_connected(company, company_id, backends)
    return await company.ask(request, timeout=backends.waits.inquiry_s + _SPARE_S)


def _summary(group: GroupDescription) -> GroupSummary:
    return GroupSummary(
        id=group.jid,
        subject=group.subject,
        description=group.description,
        owner=group.owner,
        announcement=group.announcement,
        locked=group.locked,
        size=len(group.members),
    )
