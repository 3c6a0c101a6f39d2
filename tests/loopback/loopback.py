"""The loopback WhatsApp itself, without its listeners: its accounts, its connections, and the methods for tests.

Phone numbers are digits; where a method takes ``phone=None``, None means everybody.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import final

from trio_websocket import WebSocketConnection

from actors.linker.wire.jid import parse_jid
from tests.loopback.accounts import Account, Device
from tests.loopback.calls import Call
from tests.loopback.calls import Outcome as CallOutcome
from tests.loopback.certificates import Authority
from tests.loopback.connection import Connection
from tests.loopback.endpoints import Endpoints
from tests.loopback.groups import Addressing, Group, Groups
from tests.loopback.journal import Journal, Routed
from tests.loopback.media import MediaHost
from tests.loopback.outages import Outages
from tests.loopback.pairing import Registrations
from tests.loopback.passkey_walks import Passkeys
from tests.loopback.phone import Phone
from tests.loopback.session import REMOVED, Sessions


@dataclass(frozen=True, slots=True)
class DeviceState:
    """The state of one linked device."""

    phone: str
    number: int
    jid: str
    lid: str
    logged_in: bool
    listening: bool
    """It has asked for what waited, and gets everything at once."""
    sockets: int
    """Open streams that logged in as this device: 2 for the moment in which one replaces the other."""
    waiting: int
    """Nodes it has not acknowledged."""
    one_time_keys: int


@final
class Loopback(Outages):
    """A running loopback WhatsApp. Get one from `tests.loopback.server.open_loopback`."""

    def __init__(self, authority: Authority, endpoints: Endpoints) -> None:
        super().__init__()
        self.endpoints = endpoints
        self.journal = Journal()
        self.groups = Groups(self.directory)
        self.media = MediaHost()
        self.registrations = Registrations(self._linked, cut_after=lambda: self.faults.cut_after_pairing)
        self.passkeys = Passkeys(self.registrations, self.account)
        self._authority = authority
        self._sessions = Sessions(
            self.directory,
            self.groups,
            self.registrations,
            self.passkeys,
            self._restrictions,
            self.versions,
            self.faults,
            self.journal,
        )
        self._phones: dict[str, Phone] = {}

    @property
    def sessions(self) -> Sessions:
        """What serves the streams."""
        return self._sessions

    async def serve(self, websocket: WebSocketConnection) -> None:
        """Serve one WebSocket connection until it ends."""
        connection = Connection(websocket, self._authority, self.faults)
        self._connections.add(connection)
        try:
            await self._sessions.serve(connection)
        finally:
            self._connections.discard(connection)
            self.journal.changed()

    # --- accounts and phones ----------------------------------------------------------------------------------------

    def add_account(self, phone: str, lid: str, name: str = "") -> Phone:
        """A new number on WhatsApp, with its phone; ValueError when number or LID exists or is not digits."""
        account = self.directory.add(phone, lid, name or f"User {phone}")
        self._phones[phone] = Phone(account, self.registrations, self.passkeys)
        return self._phones[phone]

    def dial(self, number: str, phone: str) -> None:
        """Have the account of ``phone`` answer to another number too, without an address of that number."""
        self.directory.dial(number, phone)

    def phone(self, number: str) -> Phone:
        """The phone of an account; ValueError when there is no such account."""
        if number not in self._phones:
            raise ValueError(f"no account {number}: add_account() first")
        return self._phones[number]

    def account(self, number: str) -> Account:
        """The account of a phone number; ValueError when there is none."""
        return self.phone(number).account

    async def scan(self, phone: str, qr_text: str) -> str:
        """Scan a QR code with a phone; the linked device's address, or PairingError; empty while a passkey is to be proved."""
        return str(await self.phone(phone).scan(qr_text) or "")

    async def confirm_code(self, phone: str, code: str) -> str:
        """Type a pairing code into a phone; the result is as with `scan`."""
        return str(await self.phone(phone).confirm_code(code) or "")

    # --- groups -------------------------------------------------------------------------------------------------------

    def add_group(self, subject: str, phones: list[str], addressing: Addressing = "lid", description: str = "") -> str:
        """Make a group of these accounts, the first its admin; return its address. No client is notified: clients ask."""
        group = self.groups.add(subject, [self.phone(number).account for number in phones], addressing)
        group.description = description
        return str(group.jid)

    def add_member(self, group: str, phone: str) -> None:
        """Put an account into a group; all members are notified."""
        found, account = self._group(group), self.phone(phone).account
        found.members.append(account)
        self._sessions.router.tell_group(found, found.members, "add", account)

    def remove_member(self, group: str, phone: str, *, silently: bool = False) -> None:
        """Take an account out of a group; all members and the account are notified, unless it happens ``silently``."""
        found, account = self._group(group), self.phone(phone).account
        told = [] if silently else list(found.members)
        found.members.remove(account)
        self._sessions.router.tell_group(found, told, "remove", account)

    def _group(self, jid: str) -> Group:
        found = self.groups.find(parse_jid(jid))
        if found is None:
            raise ValueError(f"no group {jid}: add_group() first")
        return found

    def remove_device(self, phone: str, number: int) -> None:
        """Unlink a device on the phone: its stream ends with device_removed, later log-ins with 401."""
        device = self.phone(phone).account.devices.pop(number, None)
        if device is None:
            raise ValueError(f"{phone} has no device {number}")
        if device.connection:
            device.connection.close(REMOVED)
        self.journal.changed()

    def expire_qr(self) -> None:
        """End the streams of all clients that wait to be linked."""
        self.registrations.close_all()

    # --- what is connected ------------------------------------------------------------------------------------------

    def devices(self) -> list[DeviceState]:
        """Every linked device."""
        return [self._state(device) for device in self.directory.devices()]

    def undelivered(self) -> list[str]:
        """The ids of the messages that a linked device has not acknowledged."""
        return [
            node.text("id") for device in self.directory.devices() for node in device.mailbox if node.tag == "message"
        ]

    def unlinked(self) -> int:
        """How many streams wait to be linked."""
        return len(self.registrations)

    def connections(self) -> int:
        """How many streams are open, of any kind."""
        return len(self._connections)

    def counters(self) -> dict[str, int]:
        """Totals since the start; `journal.Counters` names them."""
        return asdict(self.journal.counters)

    def routed(self, after: int = 0) -> list[Routed]:
        """The ciphertexts routed so far, from the ``after``-th on."""
        return list(self.journal.routed)[after:]

    # --- calls ------------------------------------------------------------------------------------------------------

    def offer_call(self, caller: str, callee: str, *, video: bool = False, group: str = "") -> str:
        """Ring at all devices of ``callee`` (phone numbers), for a group's call with its address; the call's id."""
        where = self._group(group).jid if group else None
        return self._sessions.calls.offer(
            self.phone(caller).account, self.phone(callee).account, video=video, group=where
        )

    def end_call(self, call_id: str, outcome: CallOutcome = "ended") -> None:
        """End a call: ``accepted_elsewhere``, ``rejected_elsewhere`` (on the callee's phone), ``timeout``, ``ended`` (by the caller)."""
        self._sessions.calls.end(call_id, outcome)

    def calls(self) -> list[Call]:
        """Every call, oldest first, with its outcome."""
        return self._sessions.calls.all()

    # --- media ------------------------------------------------------------------------------------------------------

    def uploads(self) -> list[str]:
        """The kind of each file that was uploaded: ``image``, ``video``, ``audio``, ``document``."""
        return list(self.media.uploads)

    def refuse_media(self, status: int, times: int = 1) -> None:
        """Have the media host answer the next requests with this HTTP status."""
        self.media.refuse(status, times)

    def forget_media(self) -> None:
        """Delete every uploaded file, as WhatsApp does after some weeks."""
        self.media.forget()

    def _state(self, device: Device) -> DeviceState:
        return DeviceState(
            phone=device.account.pn.user,
            number=device.number,
            jid=str(device.pn),
            lid=str(device.lid),
            logged_in=device.connection is not None,
            listening=device.listening,
            sockets=sum(connection.device is device for connection in self._connections),
            waiting=len(device.mailbox),
            one_time_keys=device.keys.count,
        )

    def _linked(self, _device: Device) -> None:
        self.journal.counters.pairings += 1
        self.journal.changed()
