"""Answers to clients' queries (``<iq>``). An empty result answers queries that the loopback does not know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from actors.linker.wire.jid import SERVER
from actors.linker.wire.nodes import MissingPartError, Node, node
from tests.loopback.accounts import Device, Directory
from tests.loopback.connection import Connection
from tests.loopback.groups import Groups
from tests.loopback.media import HOSTNAME
from tests.loopback.pairing import PairingError, Registrations
from tests.loopback.passkey_walks import QUESTIONS, Passkeys
from tests.loopback.prekeys import read_signed_key
from tests.loopback.refusals import RefusedQuestionError
from tests.loopback.usync import answer_usync

FEW_KEYS: Final = 5
"""Below so many one-time keys a device is asked for more."""
_PRIVACY: Final = ("readreceipts", "last", "online", "profile", "status", "groupadd")

_Handler = Callable[["Questions", Connection, Node], Node | None]


class Questions:
    """Answers queries of one loopback; ``on_active`` and ``on_removed`` tell the server what a client decided."""

    def __init__(
        self,
        directory: Directory,
        registrations: Registrations,
        passkeys: Passkeys,
        groups: Groups,
        *,
        on_active: Callable[[Device], None],
        on_removed: Callable[[Device], None],
    ) -> None:
        self._directory = directory
        self._registrations = registrations
        self._passkeys = passkeys
        self._groups = groups
        self._on_active = on_active
        self._on_removed = on_removed

    def answer(self, connection: Connection, iq: Node) -> None:
        """Answer one query on its stream. Malformed ones get an error answer, as from WhatsApp."""
        handler = _HANDLERS.get(iq.text("xmlns", ""))
        try:
            content = handler(self, connection, iq) if handler else None
        except (MissingPartError, PairingError, ValueError) as exc:
            connection.send(_reply(iq, "error", node("error", code="400", text=str(exc))))
            return
        except RefusedQuestionError as exc:
            connection.send(_reply(iq, "error", node("error", code=str(exc.code), text=exc.text)))
            return
        connection.send(_reply(iq, "result", content))
        if handler is Questions.multi_device:
            self._passkeys.answered(connection, iq)

    def encrypt(self, connection: Connection, iq: Node) -> Node | None:
        """Pre-keys: count, digest, bundles of others, upload, rotation."""
        own = _device(connection)
        if iq.find("count"):
            return node("count", value=str(own.keys.count))
        if iq.find("digest"):
            return own.keys.digest()
        if key := iq.find("key"):
            return node("list", *(self._bundle(user) for user in key.all("user")))
        if rotate := iq.find("rotate"):
            own.keys.signed = read_signed_key(rotate.child("skey"))
        else:
            own.keys.upload(iq)
        return None

    def usync(self, _connection: Connection, iq: Node) -> Node:
        """Queries about users."""
        return answer_usync(iq.child("usync"), self._directory)

    def passive(self, connection: Connection, iq: Node) -> None:
        """A client that turns active gets the messages that wait for it, unless it has had them."""
        device = _device(connection)
        if iq.find("active") and not device.listening:
            self._on_active(device)

    def multi_device(self, connection: Connection, iq: Node) -> Node | None:
        """Linking by code or with a passkey, and a device that unlinks itself."""
        if link := iq.find("link_code_companion_reg"):
            if link.text("stage") == "companion_hello":
                return self._registrations.companion_hello(connection, link)
            self._registrations.companion_finish(connection, link)
        elif iq.find("remove-companion-device"):
            self._on_removed(_device(connection))
        elif any(iq.find(question) for question in QUESTIONS):
            return self._passkeys.answer(connection, iq)
        return None

    def app_state(self, _connection: Connection, iq: Node) -> Node:
        """Settings of the account: every collection is empty and at version 0."""
        asked = iq.child("sync").all("collection")
        return node("sync", *(node("collection", name=one.text("name"), version="0") for one in asked))

    def privacy(self, _connection: Connection, iq: Node) -> Node | None:
        """Privacy settings: everything for everybody."""
        if iq.text("type", "") != "get":
            return None
        return node("privacy", *(node("category", name=name, value="all") for name in _PRIVACY))

    def group(self, connection: Connection, iq: Node) -> Node:
        """Who is in a group, which groups the asker is in, a new group."""
        return self._groups.answer(_device(connection).account, iq)

    def media(self, _connection: Connection, _iq: Node) -> Node:
        """Where media are uploaded and fetched."""
        host = node("host", hostname=HOSTNAME, type_="primary")
        return node("media_conn", host, auth="loopback", ttl="3600", auth_ttl="3600", max_buckets="12")

    def _bundle(self, user: Node) -> Node:
        jid = user.jid("jid")
        account = self._directory.find(jid)
        keys = account.key_bundle(jid.device) if account else None
        if keys is None:
            return Node("user", {"jid": jid}, (node("error", code="404", text="item-not-found"),))
        bundle = keys.take(Node("user", {"jid": jid}))
        owner = account.devices.get(jid.device) if account else None
        if owner and owner.connection and keys.count < FEW_KEYS:
            owner.connection.send(_few_keys(owner.connection, keys.count))
        return bundle


def _few_keys(connection: Connection, count: int) -> Node:
    left = node("count", value=str(count))
    return node("notification", left, from_=SERVER, type_="encrypt", id=connection.next_id(), t="0")


def _device(connection: Connection) -> Device:
    if connection.device is None:
        raise ValueError("not logged in")
    return connection.device


def _reply(iq: Node, kind: str, content: Node | None) -> Node:
    return Node("iq", {"from": SERVER, "id": iq.text("id"), "type": kind}, (content,) if content else None)


_HANDLERS: Final[Mapping[str, _Handler]] = {
    "encrypt": Questions.encrypt,
    "usync": Questions.usync,
    "passive": Questions.passive,
    "md": Questions.multi_device,
    "w:sync:app:state": Questions.app_state,
    "privacy": Questions.privacy,
    "w:m": Questions.media,
    "w:g2": Questions.group,
}
