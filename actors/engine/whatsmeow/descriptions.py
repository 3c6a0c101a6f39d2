"""The library's answers about numbers and groups as plain objects. Pure; reads protobuf objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actors.engine.protocol.orders import GroupDescription, GroupMember, Groups, NumberChecked
from actors.engine.whatsmeow.naming import Account
from actors.engine.whatsmeow.payloads import jid_text


def describe_number(call: int, account: Account | None) -> NumberChecked:
    """Return whether there is an account, and both its ids as far as WhatsApp named them."""
    if account is None:
        return NumberChecked(call, exists=False, pn=None, lid=None)
    return NumberChecked(call, exists=True, pn=account.pn, lid=account.lid)


def describe_groups(call: int, groups: Iterable[Any]) -> Groups:
    """Return the groups with their members."""
    return Groups(call, tuple(_group(group) for group in groups))


def _group(group: Any) -> GroupDescription:
    return GroupDescription(
        jid=jid_text(group.JID) or "",
        subject=group.GroupName.Name,
        description=group.GroupTopic.Topic,
        owner=jid_text(group.OwnerJID),
        announcement=bool(group.GroupAnnounce.IsAnnounce),
        locked=bool(group.GroupLocked.isLocked),
        members=tuple(_member(member) for member in group.Participants),
    )


def _member(member: Any) -> GroupMember:
    return GroupMember(
        id=jid_text(member.JID) or "",
        pn=jid_text(member.PhoneNumber),
        lid=jid_text(member.LID),
        admin=bool(member.IsAdmin),
        owner=bool(member.IsSuperAdmin),
    )
