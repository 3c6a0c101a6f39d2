"""Answers to queries about users: whether they exist, under which LID, with which devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from actors.linker.wire.jid import PN_SERVER, Jid
from actors.linker.wire.nodes import Node, node
from tests.loopback.accounts import Account, Directory

_Answer = Callable[[Account], Node]


def answer_usync(query: Node, directory: Directory) -> Node:
    """Answer ``<usync>``; MissingPartError when it has no query or list."""
    asked = query.child("query").children
    users = [_user(user, asked, directory) for user in query.child("list").all("user")]
    return node("usync", node("list", *users), **_echo(query))


def _user(user: Node, asked: tuple[Node, ...], directory: Directory) -> Node:
    contact = user.find("contact")
    number = contact.data.decode() if contact and contact.content else None
    jid = user.find_jid("jid") or _phone_jid(number or "")
    # Only a query for a contact is about a number to dial; an address belongs to an account or to none.
    account = directory.find(jid) if number is None else directory.answering(jid.user)
    parts = [_part(question, account, number) for question in asked if not (jid.is_lid and question.tag == "lid")]
    attrs: dict[str, str | Jid] = {"jid": jid}
    if account and any(question.attrs.get("addressing_mode") == "lid" for question in asked):
        attrs = {"jid": account.lid, "pn_jid": account.pn}
    return Node("user", attrs, tuple(part for part in parts if part))


def _part(question: Node, account: Account | None, number: str | None) -> Node | None:
    if question.tag == "contact":
        return Node("contact", {"type": "in" if account else "out"}, (number or "").encode() or None)
    answer = _ANSWERS.get(question.tag)
    return answer(account) if account and answer else None


def _phone_jid(number: str) -> Jid:
    """``+79…``, ``79…@c.us`` and ``79…`` all name the same account."""
    return Jid(number.partition("@")[0].removeprefix("+"), PN_SERVER)


def _devices(account: Account) -> Node:
    devices = [Node("device", {"id": "0"})]
    devices += [Node("device", {"id": str(number), "key-index": str(number)}) for number in account.devices]
    return node("devices", node("device-list", *devices))


def _lid(account: Account) -> Node:
    return node("lid", val=account.lid)


def _disappearing_mode(_account: Account) -> Node:
    return node("disappearing_mode", duration="0", t="0")


def _echo(query: Node) -> dict[str, str]:
    return {name: query.text(name) for name in ("sid", "mode", "context") if name in query.attrs}


_ANSWERS: Final[Mapping[str, _Answer]] = {
    "devices": _devices,
    "lid": _lid,
    "disappearing_mode": _disappearing_mode,
}
