"""Who exists: accounts (a phone with a number and a LID) and the devices linked to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from actors.linker.wire.jid import LID_SERVER, MAX_DEVICE, PN_SERVER, Jid
from tests.loopback.curve import KeyPair
from tests.loopback.mailbox import Mailbox
from tests.loopback.passkeys import Credential
from tests.loopback.prekeys import KeyBundle

if TYPE_CHECKING:
    from tests.loopback.connection import Connection


@dataclass(slots=True, eq=False)
class Device:
    """A linked device. ``connection``: the one it is logged in on; ``listening``: what waited was sent on it."""

    number: int
    account: Account
    noise_key: bytes
    keys: KeyBundle
    platform: str
    mailbox: Mailbox = field(default_factory=Mailbox)
    connection: Connection | None = None
    listening: bool = False
    knows_lids: bool = True
    push_name: str = ""

    @property
    def pn(self) -> Jid:
        """Its phone-number address."""
        return self.account.pn.with_device(self.number)

    @property
    def lid(self) -> Jid:
        """Its hidden-id address."""
        return self.account.lid.with_device(self.number)


@dataclass(slots=True, eq=False)
class Account:
    """A number on WhatsApp. ``identity`` is the phone's key; ``keys`` is the bundle of the phone, device 0."""

    pn: Jid
    lid: Jid
    name: str
    identity: KeyPair
    keys: KeyBundle
    devices: dict[int, Device] = field(default_factory=dict[int, Device])
    last_device: int = 0
    passkey: Credential | None = None
    """What a client must prove to be linked; None: nothing."""

    def next_device(self) -> int:
        """The number of the next linked device; numbers are not used again. ValueError after 255."""
        if self.last_device >= MAX_DEVICE:
            raise ValueError(f"{self.pn} has no free device number")
        self.last_device += 1
        return self.last_device

    def key_bundle(self, device: int) -> KeyBundle | None:
        """The keys of a device (0: the phone), None when it is not linked."""
        if device == 0:
            return self.keys
        linked = self.devices.get(device)
        return linked.keys if linked else None


class Directory:
    """All accounts, found by either address."""

    def __init__(self) -> None:
        self._by_user: dict[tuple[str, str], Account] = {}
        self._dialled: dict[str, Account] = {}
        self.asked = 0
        """How often clients asked which account answers to a number."""

    def add(self, phone: str, lid: str, name: str) -> Account:
        """Create an account; ValueError when the number or the LID is not digits or exists already."""
        if not (phone.isascii() and phone.isdigit() and lid.isascii() and lid.isdigit()):
            raise ValueError(f"phone {phone!r} and lid {lid!r} must be digits only")
        pn, hidden = Jid(phone, PN_SERVER), Jid(lid, LID_SERVER)
        if self.find(pn) or self.find(hidden):
            raise ValueError(f"{phone} or {lid} exists already")
        identity = KeyPair.generate()
        account = Account(pn, hidden, name, identity, KeyBundle.invented(identity))
        self._by_user[(pn.user, pn.server)] = self._by_user[(hidden.user, hidden.server)] = account
        return account

    def dial(self, number: str, phone: str) -> None:
        """Have another number lead to the account of ``phone``, as a Brazilian one with an inserted 9 does: the account's ids stay, and no
        address is made of the number. ValueError when there is no such account, or one with that number.
        """
        account = self.find(Jid(phone, PN_SERVER))
        if account is None or self.find(Jid(number, PN_SERVER)):
            raise ValueError(f"{phone} must be an account's number, {number} must be none's")
        self._dialled[number] = account

    def answering(self, number: str) -> Account | None:
        """The account that answers to a dialled number (digits)."""
        self.asked += 1
        return self.find(Jid(number, PN_SERVER)) or self._dialled.get(number)

    def find(self, jid: Jid) -> Account | None:
        """The account of an address, whichever device it names."""
        return self._by_user.get((jid.user, jid.server))

    def device(self, jid: Jid) -> Device | None:
        """The linked device of an address; None for a phone and for strangers."""
        account = self.find(jid)
        return account.devices.get(jid.device) if account else None

    def __iter__(self) -> Iterator[Account]:
        """Every account once, in the order they were added."""
        return (account for (_, server), account in self._by_user.items() if server == PN_SERVER)

    def devices(self) -> Iterator[Device]:
        """Every linked device."""
        return (device for account in self for device in account.devices.values())
