"""The steps of linking with a passkey, on the stream that showed the code."""

from __future__ import annotations

from typing import Final, Protocol, final

import trio

from actors.engine.protocol.messages import FromEngine
from actors.linker import passkey
from actors.linker.asking import Asking, NotAnswered
from actors.linker.assertion import BadAssertion, BadOptions, Options, read_assertion, read_options
from actors.linker.device import NewDevice
from actors.linker.protocol import PasskeyCode, PasskeyFailed, PasskeyWanted
from actors.linker.wire.messages import Messages
from actors.linker.wire.nodes import MissingPartError, Node, leaf, node

PASSKEY_S: Final = 600.0
"""How long the account's owner has for all steps."""


class StepRefused(Exception):
    """A step that cannot be taken now, or failed; ``code`` as in `actors.linker.protocol`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Walker(Protocol):
    """The owner of a walk."""

    device: NewDevice

    async def tell(self, message: FromEngine) -> None: ...
    def renew_secret(self) -> None: ...


@final
class Walk:
    """The passkey steps of one attempt, from the server's request on. A second request starts them anew."""

    def __init__(self, walker: Walker, asking: Asking, messages: Messages) -> None:
        self._walker = walker
        self._asking = asking
        self._messages = messages
        self._options: Options | None = None
        self._handoff: passkey.Handoff | None = None
        self._prologue: passkey.Prologue | None = None
        self._agreed: passkey.Agreed | None = None
        self._skips_code = False
        self._step = trio.Lock()

    @property
    def is_wanted(self) -> bool:
        """Whether WhatsApp has asked for a passkey."""
        return self._options is not None

    async def begin(self, notification: Node) -> None:
        """Take WhatsApp's request for a passkey; when it cannot be read, ask for it once more."""
        try:
            options = await self._options_of(notification)
        except (BadOptions, NotAnswered) as error:
            await self._walker.tell(
                PasskeyFailed(text=f"WhatsApp wants a passkey, and its request is no good: {error}")
            )
            return
        if self._handoff is None:
            # From the secret that the phone has seen: a later request must not use a secret that the phone never saw.
            self._handoff = passkey.handoff_of(self._walker.device.adv_secret, trio.current_time())
            self._walker.renew_secret()
        self._options, self._prologue, self._agreed = options, None, None
        await self._walker.tell(PasskeyWanted(options=options.json, valid_s=PASSKEY_S))

    async def _options_of(self, notification: Node) -> Options:
        try:
            return read_options(notification.child("passkey_request_options").data)
        except (MissingPartError, BadOptions):
            answer = await self._asking.ask(node("passkey_request_options"), kind="get")
        try:
            return read_options(answer.child("passkey_request_options").data)
        except MissingPartError as error:
            raise BadOptions("it holds no options") from error

    async def answer(self, response: bytes) -> None:
        """Take the browser's response; return when WhatsApp has accepted it. After `StepRefused` another response may follow."""
        if self._step.locked():
            raise StepRefused("passkey_rejected", "another response is being checked")
        async with self._step:
            await self._answer(response)

    async def _answer(self, response: bytes) -> None:
        options = self._options
        if options is None or self._agreed is not None:
            raise StepRefused("no_passkey_wanted", "WhatsApp does not wait for a passkey's response")
        try:
            assertion = read_assertion(response, options)
        except BadAssertion as error:
            raise StepRefused("invalid_passkey_response", str(error)) from error
        try:
            ref = await self._asking.ask(node("ref"), kind="get")
            prologue = passkey.begin(ref.child("ref").data.decode("ascii", "replace"), self._messages)
            handoff = self._handoff
            if handoff is not None and not handoff.is_valid(trio.current_time()):
                handoff = None
            # Set before sending: the phone's half may come before the server's answer.
            self._prologue, self._skips_code = prologue, handoff is not None
            await self._asking.ask(passkey.prologue_node(prologue, assertion, handoff))
        except (NotAnswered, MissingPartError) as error:
            self._prologue = None
            raise StepRefused("passkey_rejected", f"the passkey's response was not taken: {error}") from error

    async def go_on(self, notification: Node) -> None:
        """Take the phone's half."""
        prologue = self._prologue
        if prologue is None or self._agreed is not None:
            return  # no exchange is under way, or the half came twice
        try:
            agreed = passkey.continue_with(prologue, notification, self._messages)
            self._agreed = agreed
            await self._asking.ask(leaf("companion_nonce", prologue.nonce))
        except (passkey.BadContinuation, NotAnswered) as error:
            self._agreed = self._prologue = None
            await self._walker.tell(PasskeyFailed(text=str(error)))
            return
        await self._walker.tell(PasskeyCode(code=agreed.code, needs_confirmation=not self._skips_code))
        if self._skips_code:
            try:
                await self.confirm()
            except StepRefused as refused:
                await self._walker.tell(PasskeyFailed(text=str(refused)))

    async def confirm(self) -> None:
        """Have the phone accept the device, since the codes are the same. Raise `StepRefused`."""
        agreed = self._agreed
        if agreed is None:
            raise StepRefused("no_passkey_wanted", "there is no code to confirm")
        try:
            await self._asking.ask(passkey.request_node(agreed, self._walker.device, self._messages))
        except NotAnswered as error:
            raise StepRefused("passkey_rejected", f"the confirmation was not taken: {error}") from error
