"""One stream from its handshake to its end: linking or log-in, then whatever the client sends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import trio
from xeddsa.bindings import XEdDSAException

from actors.linker.wire.jid import PN_SERVER, Jid
from actors.linker.wire.nodes import Node, leaf, node
from tests.loopback.accounts import Device, Directory
from tests.loopback.calls import Calls
from tests.loopback.connection import Connection, StreamEndedError
from tests.loopback.faults import Faults
from tests.loopback.groups import Groups
from tests.loopback.iq import Questions
from tests.loopback.journal import Journal
from tests.loopback.mailbox import MailboxFullError
from tests.loopback.noise import Finished
from tests.loopback.pairing import Registrations, registration
from tests.loopback.passkey_walks import Passkeys
from tests.loopback.protobuf import Fields, parse
from tests.loopback.restrictions import Restrictions
from tests.loopback.router import Router
from tests.loopback.versions import Versions, require_matching_hash

SETTLE_S: Final = 0.05
"""Baileys drops a frame that arrives before its own handshake promise has settled."""
_USERNAME, _PASSIVE, _DEVICE, _PAIRING_DATA = 1, 3, 18, 19
OUTDATED: Final = "405"
ROUTING_INFO: Final = b"loopback"
"""Sent to every client; Baileys begins its next stream with it."""
REPLACED: Final = node("stream:error", node("conflict", type_="replaced"))
REMOVED: Final = node("stream:error", node("conflict", type_="device_removed"), code="401")


class Sessions:
    """Serves streams. One instance per loopback."""

    def __init__(
        self,
        directory: Directory,
        groups: Groups,
        registrations: Registrations,
        passkeys: Passkeys,
        restrictions: Restrictions,
        versions: Versions,
        faults: Faults,
        journal: Journal,
    ) -> None:
        self._directory = directory
        self._registrations = registrations
        self._faults = faults
        self._journal = journal
        self._versions = versions
        self._router = Router(directory, groups, restrictions, journal)
        self._questions = Questions(
            directory,
            registrations,
            passkeys,
            groups,
            on_active=self._router.send_stored,
            on_removed=self._removed_itself,
        )
        self._handlers: dict[str, Callable[[Connection, Node], None]] = {
            "iq": self._iq,
            "message": self._message,
            "receipt": self._receipt,
            "ack": self._ack,
            "presence": self._presence,
            "chatstate": self._chat_state,
            "call": self._call,
        }
        self.calls = Calls(directory, self._router.deliver)

    @property
    def router(self) -> Router:
        """The router of messages."""
        return self._router

    async def serve(self, connection: Connection) -> None:
        """Serve one stream until it ends, for whatever reason; never raises for what a client does."""
        self._journal.counters.connections += 1
        try:
            with connection.scope:
                finished = await connection.handshake()
                self._journal.counters.led_back += connection.routing_info == ROUTING_INFO
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(connection.write_queued)
                    await trio.sleep(SETTLE_S)
                    await self._enter(connection, finished)
        except* StreamEndedError:
            pass
        except* (ValueError, XEdDSAException, MailboxFullError, trio.TooSlowError):
            self._journal.counters.unreadable += 1
        finally:
            self._left(connection)

    async def _enter(self, connection: Connection, finished: Finished) -> None:
        payload = parse(finished.client_payload)
        if _PAIRING_DATA in payload and self._versions.refuses("", payload):
            self._refuse(connection, OUTDATED)
            await self._listen(connection)
        elif _PAIRING_DATA in payload:
            require_matching_hash(payload, payload.message(_PAIRING_DATA))
            waiting = registration(connection, finished.client_static, payload.message(_PAIRING_DATA))
            self._registrations.offer(waiting)
            self._journal.changed()
            try:
                await self._listen(connection)
            finally:
                self._registrations.forget(waiting)
        else:
            self._log_in(connection, finished.client_static, payload)
            await self._listen(connection)

    async def _listen(self, connection: Connection) -> None:
        while True:
            received = await connection.receive()
            handler = self._handlers.get(received.tag)
            if handler:
                handler(connection, received)

    def _log_in(self, connection: Connection, noise_key: bytes, payload: Fields) -> None:
        phone = str(payload.number(_USERNAME))
        connection.phone = phone
        refusal = self._faults.take_refusal(phone)
        if refusal:
            self._refuse(connection, str(refusal.code), **refusal.attrs)
            return
        if self._versions.refuses(phone, payload):
            self._refuse(connection, OUTDATED)
            return
        device = self._directory.device(Jid(phone, PN_SERVER, payload.number(_DEVICE)))
        if device is None or device.noise_key != noise_key:
            self._refuse(connection, "401")
            return
        self._welcome(connection, device)
        if not payload.number(_PASSIVE):
            self._router.send_stored(device)

    def _refuse(self, connection: Connection, reason: str, **attrs: str) -> None:
        self._journal.counters.refused_logins += 1
        self._journal.changed()
        connection.close(Node("failure", {"reason": reason, "location": "loopback", **attrs}))

    def _welcome(self, connection: Connection, device: Device) -> None:
        old = device.connection
        device.connection, device.listening = connection, False
        device.knows_lids = connection.knows_lids
        connection.device = device
        if old:
            self._journal.counters.replaced += 1
            old.close(REPLACED)
        self._journal.counters.logins += 1
        now = str(int(time.time()))
        connection.send(Node("success", {"t": now, "lid": device.lid, "creation": now, "location": "loopback"}))
        connection.send(node("ib", node("edge_routing", leaf("routing_info", ROUTING_INFO))))
        self._journal.changed()

    def _left(self, connection: Connection) -> None:
        device = connection.device
        if device and device.connection is connection:
            device.connection, device.listening = None, False
        self._journal.changed()

    def _removed_itself(self, device: Device) -> None:
        device.account.devices.pop(device.number, None)
        self._journal.changed()

    def _iq(self, connection: Connection, iq: Node) -> None:
        if iq.text("type", "") in ("result", "error"):
            connection.take_reply(iq)
            return
        self._journal.counters.queries += 1
        self._questions.answer(connection, iq)
        self._journal.changed()

    def _message(self, connection: Connection, message: Node) -> None:
        if connection.device:
            self._router.message(connection.device, message)

    def _receipt(self, connection: Connection, receipt: Node) -> None:
        if connection.device:
            self._router.receipt(connection.device, receipt)

    def _ack(self, connection: Connection, ack: Node) -> None:
        if connection.device:
            self._router.acknowledged(connection.device, ack)

    def _chat_state(self, connection: Connection, state: Node) -> None:
        if connection.device:
            self._router.chat_state(connection.device, state)

    def _presence(self, connection: Connection, presence: Node) -> None:
        if connection.device and "name" in presence.attrs:
            connection.device.push_name = presence.text("name")

    def _call(self, connection: Connection, call: Node) -> None:
        if connection.device:
            self.calls.taken(connection.device, call)
            self._journal.changed()
