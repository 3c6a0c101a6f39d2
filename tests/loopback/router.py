"""From device to device: messages, receipts and acknowledgements. Ciphertext is passed on as it is."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Iterator
from hashlib import sha256

from actors.linker.wire.jid import GROUP_SERVER, Jid
from actors.linker.wire.nodes import Node, node
from tests.loopback import group_mail
from tests.loopback.accounts import Account, Device, Directory
from tests.loopback.group_mail import CARRIED
from tests.loopback.groups import Group, Groups
from tests.loopback.journal import Journal, Outcome, Routed
from tests.loopback.restrictions import Restrictions


class Router:
    """Decides which devices get a node, keeps it until it is acknowledged, and writes it to those that listen."""

    def __init__(self, directory: Directory, groups: Groups, restrictions: Restrictions, journal: Journal) -> None:
        self._directory = directory
        self._restrictions = restrictions
        self._groups = groups
        self._journal = journal

    def message(self, sender: Device, message: Node) -> None:
        """Take a message from ``sender``: acknowledge it and deliver each ciphertext to its device."""
        self._journal.counters.messages += 1
        to = message.jid("to")
        if to.server == GROUP_SERVER:
            self._group_message(sender, message)
            return
        account = self._directory.find(to)
        if account is None:
            self._acknowledge(sender, message, error="404")
            return
        refusal = self._restrictions.refusal(sender.account, account)
        if refusal:
            self._acknowledge(sender, message, error=refusal)
            return
        accounts = {id(one): one for one in (account, sender.account)}.values()
        self._acknowledge(sender, message, phash=participants_hash(accounts, lid=to.is_lid))
        carried = tuple(child for child in message.children if child.tag in CARRIED)
        for target, encrypted in ciphertexts(message):
            self._route(sender, message, target, encrypted, carried)
        self._journal.changed()

    def _group_message(self, sender: Device, message: Node) -> None:
        group = self._groups.find(message.jid("to"))
        if group is None or sender.account not in group.members:
            self._acknowledge(sender, message, error="404" if group is None else "403")
            return
        self._acknowledge(sender, message, phash=participants_hash(group.members, lid=group.addressing == "lid"))
        for device, incoming in group_mail.copies(group, sender, message, ciphertexts(message), self._directory):
            outcome = self.deliver(device, incoming)
            for encrypted in incoming.all("enc"):
                self._note(sender, message, device.lid, encrypted, outcome)
        self._journal.changed()

    def chat_state(self, sender: Device, state: Node) -> None:
        """Send a typing notice to the clients that are connected now; it is not kept for later."""
        self._journal.counters.chat_states += 1
        to = state.jid("to")
        group = self._groups.find(to)
        others = [one for one in group.members if one is not sender.account] if group else [self._directory.find(to)]
        for device in (device for account in others if account for device in account.devices.values()):
            if device.connection and device.listening:
                device.connection.send(_typing(sender, device, state, group))
        self._journal.changed()

    def tell_group(self, group: Group, told: list[Account], change: str, who: Account) -> None:
        """Tell accounts that ``who`` was added to the group or removed from it."""
        group.version += 1
        for device in (device for account in told for device in account.devices.values()):
            self.deliver(device, group_mail.changed(group, change, who))

    def receipt(self, sender: Device, receipt: Node) -> None:
        """Take a receipt: it acknowledges the message to the server, and is passed on to the message's sender."""
        self._journal.counters.receipts += 1
        kind = receipt.text("type", "")
        sender.mailbox.acknowledge("message", receipt.text("id"), "", "")
        self._acknowledge(sender, receipt)
        to = receipt.jid("to")
        if kind == "retry":
            self._journal.counters.retry_receipts += 1
        group = self._groups.find(to)
        if group:
            for device, passed_on in group_mail.receipts(group, sender, receipt, self._directory):
                self.deliver(device, passed_on)
        for device in self._receivers(sender, to, only_that_device=kind == "retry"):
            self.deliver(device, _passed_on(receipt, sender, device))
        self._journal.changed()

    def acknowledged(self, sender: Device, ack: Node) -> None:
        """Take a client's acknowledgement of something delivered to it."""
        sender.mailbox.acknowledge(
            ack.text("class", ""),
            ack.text("id", ""),
            ack.text("to", ""),
            ack.text("type", ""),
            ack.text("participant", ""),
        )
        self._journal.changed()

    def deliver(self, device: Device, node_: Node) -> Outcome:
        """Keep a node until the device acknowledges it, and write it at once when the device listens."""
        device.mailbox.put(node_)
        if device.connection is None or not device.listening:
            return "stored"
        device.connection.send(node_)
        return "sent"

    def send_stored(self, device: Device) -> None:
        """The device listens from now on: send it what waited, in order, then the notice that this was all."""
        connection = device.connection
        if connection is None:
            return
        waiting = tuple(device.mailbox)
        if waiting:
            connection.send(node("ib", _preview(waiting)))
        for stored in waiting:
            connection.send(stored.with_attrs(offline="0"))
        connection.send(node("ib", node("offline", count=str(len(waiting)))))
        device.listening = True
        self._journal.changed()

    def _route(self, sender: Device, message: Node, target: Jid, encrypted: Node, carried: tuple[Node, ...]) -> None:
        outcome: Outcome = "phone"
        if target.device:
            device = self._directory.device(target)
            if device is sender:
                return
            outcome = (
                "unknown"
                if device is None
                else self.deliver(device, _incoming(sender, device, message, encrypted, carried))
            )
        self._note(sender, message, target, encrypted, outcome)

    def _note(self, sender: Device, message: Node, recipient: Jid, encrypted: Node, outcome: Outcome) -> None:
        self._journal.note(
            Routed(
                at=time.time(),
                message_id=message.text("id"),
                sender=str(sender.pn),
                recipient=str(recipient),
                kind=encrypted.text("type", ""),
                size=len(encrypted.data),
                retry=int(encrypted.text("count", "0")),
                outcome=outcome,
            )
        )

    def _receivers(self, sender: Device, to: Jid, *, only_that_device: bool) -> Iterator[Device]:
        account = self._directory.find(to)
        if account is None:
            return
        for device in account.devices.values():
            if device is not sender and (not only_that_device or device.number == to.device):
                yield device

    def _acknowledge(self, sender: Device, received: Node, *, error: str = "", phash: str = "") -> None:
        if sender.connection is None:
            return
        attrs: dict[str, str | Jid] = {
            "class": received.tag,
            "id": received.text("id"),
            "from": received.jid("to"),
            "t": str(int(time.time())),
        }
        optional = {"error": error, "phash": phash, "type": received.text("type", "")}
        sender.connection.send(Node("ack", attrs | {name: value for name, value in optional.items() if value}))


def ciphertexts(message: Node) -> Iterator[tuple[Jid, Node]]:
    """Each ``<enc>`` with the device it is for: listed under participants, or alone for the device in ``to``."""
    for encrypted in message.all("enc"):
        yield message.jid("to"), encrypted
    participants = message.find("participants")
    for to in participants.all("to") if participants else ():
        for encrypted in to.all("enc"):
            yield to.jid("jid"), encrypted


def _incoming(sender: Device, device: Device, message: Node, encrypted: Node, carried: tuple[Node, ...]) -> Node:
    """The message as ``device`` is to see it."""
    to = message.jid("to").account
    by_lid = to.is_lid and device.knows_lids
    attrs: dict[str, str | Jid] = {
        "from": sender.lid if by_lid else sender.pn,
        "id": message.text("id"),
        "type": message.text("type", "text"),
        "t": str(int(time.time())),
        "notify": sender.push_name or sender.account.name,
    }
    for name in ("category", "edit"):
        if name in message.attrs:
            attrs[name] = message.attrs[name]
    if device.account is not sender.account:
        attrs |= {"sender_pn": sender.account.pn} if by_lid else {"sender_lid": sender.account.lid}
    elif "category" not in attrs:
        attrs |= _own_message(to, message.find_jid("peer_recipient_pn"), by_lid=by_lid)
    if encrypted.text("type", "") != "pkmsg":
        carried = tuple(child for child in carried if child.tag != "device-identity")
    return Node("message", attrs, (encrypted, *carried))


def _own_message(to: Jid, phone: Jid | None, *, by_lid: bool) -> dict[str, str | Jid]:
    if not by_lid:
        return {"recipient": phone or to}
    return {"recipient": to, "peer_recipient_pn": phone} if phone else {"recipient": to}


def _passed_on(receipt: Node, sender: Device, device: Device) -> Node:
    by_lid = receipt.jid("to").is_lid and device.knows_lids
    attrs = {name: value for name, value in receipt.attrs.items() if name not in ("to", "from")}
    attrs |= {"from": sender.lid if by_lid else sender.pn}
    attrs.setdefault("t", str(int(time.time())))
    return Node("receipt", attrs, receipt.content)


def _preview(waiting: tuple[Node, ...]) -> Node:
    counts = {tag: sum(stored.tag == tag for stored in waiting) for tag in ("message", "receipt", "notification")}
    shown = {"count": len(waiting), "appdata": 0} | counts
    return Node("offline_preview", {name: str(count) for name, count in shown.items()})


def _typing(sender: Device, device: Device, state: Node, group: Group | None) -> Node:
    by_lid = device.knows_lids
    who = sender.account.lid if by_lid else sender.account.pn
    if group:
        return Node("chatstate", {"from": group.jid, "participant": who}, state.content)
    return Node("chatstate", {"from": who}, state.content)


def participants_hash(accounts: Iterable[Account], *, lid: bool) -> str:
    """The hash of all devices a message should have gone to; a client that knew others asks for the list anew."""
    users = [(account.lid if lid else account.pn, (0, *account.devices)) for account in accounts]
    names = sorted(f"{user.user}.0:{number}@{user.server}" for user, numbers in users for number in numbers)
    return "2:" + base64.b64encode(sha256("".join(names).encode()).digest()[:6]).decode().rstrip("=")
