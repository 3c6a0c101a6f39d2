"""A pairing code and then the passkey; and a phone that is controlled from another process."""

from __future__ import annotations

import pytest
import trio

from tests.loopback.authenticator import SoftPasskey
from tests.loopback.companion import open_companion
from tests.loopback.companion_code import CodeLink
from tests.loopback.loopback import Loopback
from tests.loopback.remote import LoopbackError, start_loopback
from tests.loopback.users import LIDS, PHONES

A = PHONES["a"]
PASSKEY = SoftPasskey()


async def test_a_code_and_then_the_passkey(loopback: Loopback) -> None:
    """The handoff proof comes from the ADV secret that the code's exchange agreed on: nothing is to be compared."""
    loopback.passkeys.require(A, PASSKEY.credential, PASSKEY.public_key)
    async with open_companion(loopback.endpoints) as companion, trio.open_nursery() as nursery:
        await companion.register()
        link = CodeLink(companion, A)
        nursery.start_soon(loopback.confirm_code, A, await link.offer())
        await link.finish()
        options = await companion.passkey_options()

        attempt = await companion.prologue(PASSKEY.sign(options))
        await companion.reveal(attempt)
        await companion.request(attempt)

        assert await companion.countersign() == f"{A}:1@s.whatsapp.net"
        assert loopback.passkeys.screen(A).handed_off


@pytest.mark.slow
async def test_a_walk_with_a_loopback_in_another_process() -> None:
    """The passkey, the phone's screen, the comparison and its result go through the control socket."""
    async with start_loopback() as loopback, open_companion(loopback.endpoints) as companion:
        await loopback.add_account(A, LIDS["a"])
        await loopback.require_passkey(A, PASSKEY.credential, PASSKEY.public_key)
        assert await loopback.scan(A, await companion.register()) == ""
        attempt = await companion.prologue(PASSKEY.sign(await companion.passkey_options()), proof=False)
        with pytest.raises(LoopbackError, match="no code yet"):
            await loopback.compare_code(A, "1234-5678")
        code = await companion.reveal(attempt)
        await companion.request(attempt)
        screen = await loopback.passkey_screen(A)
        await loopback.compare_code(A, code)
        linked = await companion.countersign()

        assert (screen.step, screen.code, screen.handed_off) == ("comparison", code, False)
        assert await loopback.passkey_linked(A) == linked
