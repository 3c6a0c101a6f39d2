"""Groups: who is in them, and how the server describes them (``w:g2``)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from actors.linker.wire.jid import GROUP_SERVER, Jid
from actors.linker.wire.nodes import Node, leaf, node
from tests.loopback.accounts import Account, Directory
from tests.loopback.refusals import RefusedQuestionError

Addressing = Literal["lid", "pn"]
FIRST_GROUP: Final = 120363000000000001


@dataclass(slots=True, eq=False)
class Group:
    """One group. ``admins`` are members too; the first member made it."""

    jid: Jid
    subject: str
    addressing: Addressing
    members: list[Account]
    admins: list[Account]
    description: str = ""
    created: int = field(default_factory=lambda: int(time.time()))
    version: int = 1

    def address(self, account: Account, *, knows_lids: bool = True) -> Jid:
        """The address of ``account`` in this group."""
        return account.lid if self.addressing == "lid" and knows_lids else account.pn

    def describe(self) -> Node:
        """``<group>`` as sent to clients."""
        creator = self.members[0] if self.members else None
        attrs: dict[str, str | Jid] = {
            "id": self.jid.user,
            "subject": self.subject,
            "s_t": str(self.created),
            "creation": str(self.created),
            "size": str(len(self.members)),
            "addressing_mode": self.addressing,
            "p_v_id": str(self.version),
            "a_v_id": str(self.version),
        }
        if creator:
            attrs |= {"creator": self.address(creator), "s_o": self.address(creator)}
        parts = [self.participant(account) for account in self.members]
        if self.description:
            body = leaf("body", self.description.encode())
            parts.append(node("description", body, id="1", t=str(self.created)))
        return Node("group", attrs, tuple(parts))

    def participant(self, account: Account) -> Node:
        """``<participant>`` with both addresses."""
        attrs: dict[str, str | Jid] = {"jid": self.address(account)}
        attrs |= {"phone_number": account.pn} if self.addressing == "lid" else {"lid": account.lid}
        if account in self.admins:
            attrs["type"] = "superadmin" if account is self.members[0] else "admin"
        return Node("participant", attrs)


class Groups:
    """All groups of one loopback."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._groups: dict[Jid, Group] = {}

    def add(self, subject: str, members: list[Account], addressing: Addressing = "lid") -> Group:
        """A new group; its first member is its admin. ValueError when it would be empty."""
        if not members:
            raise ValueError("a group needs a member")
        jid = Jid(str(FIRST_GROUP + len(self._groups)), GROUP_SERVER)
        group = self._groups[jid] = Group(jid, subject, addressing, list(dict.fromkeys(members)), [members[0]])
        return group

    def find(self, jid: Jid) -> Group | None:
        """The group with this address."""
        return self._groups.get(jid)

    def of(self, account: Account) -> Iterator[Group]:
        """The groups that ``account`` is in."""
        return (group for group in self._groups.values() if account in group.members)

    def answer(self, asker: Account, iq: Node) -> Node:
        """Answer a ``w:g2`` question; RefusedQuestionError when it may not be asked or there is no such group."""
        to = iq.jid("to")
        if iq.find("participating"):
            return node("groups", *(group.describe() for group in self.of(asker)))
        if create := iq.find("create"):
            wanted = (self._directory.find(one.jid("jid")) for one in create.all("participant"))
            return self.add(create.text("subject"), [asker, *(one for one in wanted if one)]).describe()
        if iq.find("query"):
            return self._asked(asker, to).describe()
        raise RefusedQuestionError(501, "feature-not-implemented")

    def _asked(self, asker: Account, jid: Jid) -> Group:
        group = self.find(jid)
        if group is None:
            raise RefusedQuestionError(404, "item-not-found")
        if asker not in group.members:
            raise RefusedQuestionError(403, "forbidden")
        return group
