"""Linking with a passkey: the clients under way, their queries and notifications, and what the phone's owner does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal

from actors.linker.wire.jid import SERVER
from actors.linker.wire.nodes import Node, leaf, node
from tests.loopback.accounts import Account
from tests.loopback.connection import Connection
from tests.loopback.pairing import PairingError, Registration, Registrations
from tests.loopback.passkey_phone import handoff
from tests.loopback.passkey_walk import Screen, Walk
from tests.loopback.passkeys import Challenge, read_credential
from tests.loopback.refusals import RefusedQuestionError

Spoilt = Literal["options", "options_answer", "continuation"]
GARBAGE: Final = b"{"
QUESTIONS: Final = frozenset(
    {"ref", "passkey_request_options", "passkey_prologue", "companion_nonce", "encrypted_pairing_request"}
)
"""What clients ask about passkeys, by the tag of the question."""


class Passkeys:
    """The walks of one loopback, at most one an account, and what tests do with them."""

    def __init__(self, registrations: Registrations, account: Callable[[str], Account]) -> None:
        self._registrations = registrations
        self._account = account
        self._walks: dict[str, Walk] = {}
        self._spoilt: set[str] = set()

    # --- what tests do ------------------------------------------------------------------------------------------------

    def require(self, phone: str, credential_id: str, public_key: str, rp_id: str = "whatsapp.com") -> None:
        """Have clients of this account prove a passkey (base64url: id, and the public key's DER); ValueError for a bad key."""
        self._account(phone).passkey = read_credential(credential_id, public_key, rp_id)

    def forget(self, phone: str) -> None:
        """Link clients of this account without a passkey again."""
        self._account(phone).passkey = None

    def screen(self, phone: str) -> Screen:
        """What the owner of ``phone`` sees; PairingError when no client is or was on its way."""
        return self._walk(phone).screen()

    def compare(self, phone: str, code: str) -> None:
        """The owner looks whether ``code``, as the client shows it (with or without hyphen), is the phone's.

        If so it is confirmed; if not, PairingError, and the client's stream ends.
        """
        walk = self._walk(phone)
        if not walk.code:
            raise PairingError("the phone shows no code yet")
        if code.replace("-", "") != walk.code:
            self.cancel(phone)
            raise PairingError("the codes differ")
        walk.compared = True
        self._accept(walk)

    def cancel(self, phone: str) -> None:
        """The owner cancels: the client's stream ends."""
        walk = self._walk(phone)
        walk.waiting.failure = "the phone's owner gave it up"
        walk.waiting.connection.close()

    def ask_again(self, phone: str) -> None:
        """Send request options once more, with a new challenge: what was proved or agreed before is void."""
        walk = self._walk(phone)
        walk.challenge, walk.step, walk.secrecy, walk.code = Challenge(), "assertion", None, ""
        self._send_options(walk)

    def age(self, phone: str, seconds: float) -> None:
        """Make challenge and scan that much older: a handoff proof expires after 300 s, an assertion after 600 s."""
        walk = self._walk(phone)
        walk.challenge.begun -= seconds
        walk.handoff.begun -= seconds

    def spoil(self, what: Spoilt) -> None:
        """Send, once, something unreadable instead of: ``options``, ``continuation``; refuse with 500: ``options_answer``."""
        self._spoilt.add(what)

    async def linked(self, phone: str) -> str:
        """The address of the device that a walk ends with; PairingError when it ends otherwise or takes more than 20 s."""
        return str(await self._walk(phone).waiting.until_linked())

    # --- what the phone and the client do ------------------------------------------------------------------------------

    def begin(self, waiting: Registration, account: Account, adv_secret: bytes) -> None:
        """The owner of ``account`` scanned this client's code: ask it for the passkey."""
        assert account.passkey is not None, "only accounts with a passkey get here"
        walk = Walk(waiting, account, account.passkey, handoff(adv_secret))
        self._walks[account.pn.user] = walk
        self._send_options(walk)

    def answer(self, connection: Connection, iq: Node) -> Node | None:
        """Answer a client's question about passkeys; RefusedQuestionError, or ValueError for what cannot be read."""
        walk = next((walk for walk in self._walks.values() if walk.waiting.connection is connection), None)
        if walk is None:
            raise RefusedQuestionError(404, "item-not-found")
        try:
            return self._answer(walk, iq)
        except RefusedQuestionError as exc:
            walk.refusals.append(str(exc))
            raise

    def answered(self, connection: Connection, iq: Node) -> None:
        """Let the phone do what follows from a query, once its answer is on its way."""
        walk = next((walk for walk in self._walks.values() if walk.waiting.connection is connection), None)
        if walk and walk.secrecy and iq.find("passkey_prologue"):
            spoilt = self._take_spoilt("continuation")
            self._notify(
                walk, "crsc_continuation", leaf("primary_ephemeral_identity", spoilt or walk.secrecy.primary_identity)
            )
        elif walk and iq.find("encrypted_pairing_request"):
            self._accept(walk)

    def _answer(self, walk: Walk, iq: Node) -> Node | None:
        if iq.find("ref"):
            return walk.give_ref()
        if iq.find("passkey_request_options"):
            if self._take_spoilt("options_answer"):
                raise RefusedQuestionError(500, "internal-server-error")
            return walk.give_options()
        if told := iq.find("passkey_prologue"):
            walk.take_prologue(told)
        elif told := iq.find("companion_nonce"):
            walk.take_nonce(told)
        else:
            walk.take_request(iq.child("encrypted_pairing_request"))
        return None

    def _accept(self, walk: Walk) -> None:
        if walk.acceptable and walk.request:
            walk.step = "accepted"
            self._registrations.accept(walk.waiting, walk.account, walk.request.adv_secret)

    def _send_options(self, walk: Walk) -> None:
        spoilt = self._take_spoilt("options")
        told = leaf("passkey_request_options", spoilt) if spoilt else walk.give_options()
        self._notify(walk, "passkey_prologue_request", told)

    def _notify(self, walk: Walk, kind: str, content: Node) -> None:
        connection = walk.waiting.connection
        id_, now = connection.next_id(), str(int(time.time()))
        connection.send(node("notification", content, from_=SERVER, type_=kind, id=id_, t=now))

    def _take_spoilt(self, what: Spoilt) -> bytes:
        if what not in self._spoilt:
            return b""
        self._spoilt.discard(what)
        return GARBAGE

    def _walk(self, phone: str) -> Walk:
        walk = self._walks.get(phone)
        if walk is None:
            raise PairingError(f"no client was scanned that has to prove the passkey of {phone}")
        return walk
