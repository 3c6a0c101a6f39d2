"""One client on its way to become a device of an account with a passkey: the order of its questions, and what each must hold.

After the scan (or the pairing code) the client is sent the request options. It asks for a reference, then sends its prologue with
an assertion; the phone's ephemeral identity follows; the client reveals its nonce, both sides know the code, and the client's
sealed pairing request is accepted at once (with a handoff proof) or when the owner has compared the codes.
WhatsApp's answers where it refuses are not public: the codes are those whatsmeow has names for.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Literal

from actors.linker.wire.nodes import Node, leaf
from tests.loopback.accounts import Account
from tests.loopback.pairing import Registration
from tests.loopback.passkey_phone import Handoff, PairingRequest, Secrecy, read_prologue
from tests.loopback.passkeys import Challenge, Credential, check_assertion
from tests.loopback.refusals import RefusedQuestionError

Step = Literal["assertion", "nonce", "request", "comparison", "accepted", "linked", "ended"]
"""What is waited for: assertion, nonce and request from the client, comparison from the owner; then what came of it."""


@dataclass(frozen=True, slots=True)
class Screen:
    """What the phone's owner sees."""

    step: Step
    code: str
    """Eight characters to compare with the client's; empty before the client's nonce."""
    handed_off: bool
    """The client proved that it is the one that was scanned: nothing is to be compared."""
    refusals: tuple[str, ...]
    """What the client was refused so far, as ``410 gone``."""


@dataclass(slots=True, eq=False)
class Walk:
    """One client on its way to become a device of an account with a passkey."""

    waiting: Registration
    account: Account
    credential: Credential
    handoff: Handoff
    challenge: Challenge = field(default_factory=Challenge)
    step: Step = "assertion"
    ref: bytes = b""
    secrecy: Secrecy | None = None
    handed_off: bool = False
    compared: bool = False
    code: str = ""
    request: PairingRequest | None = None
    refusals: list[str] = field(default_factory=list[str])

    def screen(self) -> Screen:
        """What the owner sees now."""
        linked, ended = self.waiting.device is not None, self.waiting.linked.is_set()
        step: Step = "linked" if linked else "ended" if ended else self.step
        return Screen(step, self.code, self.handed_off, tuple(self.refusals))

    def give_ref(self) -> Node:
        """A reference for the client's ephemeral identity."""
        self.ref = secrets.token_urlsafe(24).encode()
        return leaf("ref", self.ref)

    def give_options(self) -> Node:
        """The request options; of a new challenge when the last one is used up or old."""
        if not self.challenge.open:
            self.challenge = Challenge()
        return leaf("passkey_request_options", self.challenge.options(self.credential.rp_id))

    def take_prologue(self, told: Node) -> None:
        """The client's assertion and ephemeral identity; RefusedQuestionError unless all of it is right."""
        prologue, proof = told.child("prologue_payload").data, told.find("pairing_handoff_proof")
        secrecy = read_prologue(prologue, self.ref)
        handed_off = self.handoff.proved_by(prologue, proof.data if proof else None)
        named, assertion = told.child("credential_id").data, told.child("webauthn_assertion").data
        check_assertion(self.credential, self.challenge, named, assertion)
        self.secrecy, self.handed_off, self.compared, self.code = secrecy, handed_off, False, ""
        self.step, self.ref = "nonce", b""

    def take_nonce(self, told: Node) -> None:
        """The nonce the client had committed itself to: both sides know the code now."""
        if self.secrecy is None or self.step != "nonce":
            raise RefusedQuestionError(404, "item-not-found")
        self.code = self.secrecy.code(told.data)
        self.step = "request"

    def take_request(self, told: Node) -> None:
        """The client's keys and ADV secret, sealed."""
        if self.secrecy is None or self.step != "request":
            raise RefusedQuestionError(404, "item-not-found")
        request = self.secrecy.open(told.data)
        if (request.noise_key, request.identity) != (self.waiting.noise_key, self.waiting.identity):
            raise RefusedQuestionError(401, "not-authorized")
        self.request, self.step = request, "comparison"

    @property
    def acceptable(self) -> bool:
        """Whether the phone accepts the request: it has arrived, and from the client that its owner sees."""
        return self.step == "comparison" and (self.handed_off or self.compared)
