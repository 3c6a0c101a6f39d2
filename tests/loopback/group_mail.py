"""What members of a group get: each device its own copy of a message, receipts, notices of members added or removed. Pure."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator

from actors.linker.wire.jid import Jid
from actors.linker.wire.nodes import Node, node
from tests.loopback.accounts import Account, Device, Directory
from tests.loopback.groups import Group

CARRIED = frozenset({"device-identity", "meta", "reporting", "biz", "bot"})
"""Children of a message that are for the recipient; the others are between the sender and the server."""


def copies(
    group: Group, sender: Device, message: Node, ciphertexts: Iterable[tuple[Jid, Node]], directory: Directory
) -> Iterator[tuple[Device, Node]]:
    """The message for each device of the members: the sender key's distribution where there is one for it, and what all can read.

    A message that names a participant is a repetition for that device alone.
    """
    again = message.find_jid("participant")
    own: dict[tuple[Account, int], list[Node]] = {}
    for target, encrypted in ciphertexts:
        target = again if again and target == group.jid else target
        account = directory.find(target)
        if account:
            own.setdefault((account, target.device), []).append(encrypted)
    common = () if again else tuple(one for one in message.all("enc") if one.text("type", "") == "skmsg")
    for account in group.members:
        for device in account.devices.values():
            parts = (*own.get((account, device.number), ()), *common)
            if device is not sender and parts:
                yield device, _copy(group, sender, device, message, parts)


def receipts(group: Group, sender: Device, receipt: Node, directory: Directory) -> Iterator[tuple[Device, Node]]:
    """The receipt for the devices of the message's author; a request to send again goes to the one device that is meant."""
    writer = receipt.find_jid("participant")
    account = directory.find(writer) if writer else None
    for device in account.devices.values() if account and writer else ():
        only = receipt.text("type", "") == "retry"
        if device is sender or (only and writer and device.number != writer.device):
            continue
        attrs = {name: value for name, value in receipt.attrs.items() if name not in ("to", "from", "participant")}
        attrs |= {"from": group.jid, **_participant(group, sender, device)}
        attrs.setdefault("t", str(int(time.time())))
        yield device, Node("receipt", attrs, receipt.content)


def changed(group: Group, change: str, who: Account) -> Node:
    """The notice that ``who`` was added or removed."""
    return Node(
        "notification",
        {
            "type": "w:gp2",
            "from": group.jid,
            "id": secrets.token_hex(8),
            "t": str(int(time.time())),
            "participant": group.address(group.members[0]) if group.members else group.address(who),
        },
        (node(change, group.participant(who), v_id=str(group.version), prev_v_id=str(group.version - 1)),),
    )


def _copy(group: Group, sender: Device, device: Device, message: Node, encrypted: tuple[Node, ...]) -> Node:
    attrs: dict[str, str | Jid] = {
        "from": group.jid,
        "id": message.text("id"),
        "type": message.text("type", "text"),
        "t": str(int(time.time())),
        "notify": sender.push_name or sender.account.name,
        **_participant(group, sender, device),
    }
    if "edit" in message.attrs:
        attrs["edit"] = message.attrs["edit"]
    begins = any(one.text("type", "") == "pkmsg" for one in encrypted)
    carried = (child for child in message.children if child.tag in CARRIED)
    return Node(
        "message", attrs, (*encrypted, *(child for child in carried if begins or child.tag != "device-identity"))
    )


def _participant(group: Group, sender: Device, device: Device) -> dict[str, str | Jid]:
    """The sender's address as ``device`` knows it: clients without LIDs get the phone number in any group."""
    account = sender.account
    if group.addressing == "lid" and device.knows_lids:
        return {"participant": sender.lid, "participant_pn": account.pn, "addressing_mode": "lid"}
    return {"participant": sender.pn, "participant_lid": account.lid, "addressing_mode": "pn"}
