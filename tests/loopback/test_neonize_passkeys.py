"""A real whatsmeow as witness: it reads the options, and asks for them where the notification was unreadable."""

from __future__ import annotations

import pytest
import trio

from tests.loopback.authenticator import SoftPasskey
from tests.loopback.loopback import Loopback
from tests.loopback.peers import Peers
from tests.loopback.users import PHONES, until

pytestmark = pytest.mark.slow
A = PHONES["a"]
PASSKEY = SoftPasskey()
QUIET_S = 1.0


async def test_whatsmeow_reads_the_options(loopback: Loopback, neonize: Peers) -> None:
    """It asks nothing after the notification, which it would if it could not parse it, and its stream stays open."""
    loopback.passkeys.require(A, PASSKEY.credential, PASSKEY.public_key)
    await neonize.open("a")
    qr = (await neonize.event("a", "qr")).qr
    asked = loopback.counters()["queries"]

    assert await loopback.scan(A, qr) == ""
    await trio.sleep(QUIET_S)  # that nothing comes can only be seen by waiting

    assert loopback.counters()["queries"] == asked
    assert (loopback.unlinked(), loopback.passkeys.screen(A).step) == (1, "assertion")


async def test_whatsmeow_asks_for_options_it_could_not_read(loopback: Loopback, neonize: Peers) -> None:
    """Unreadable ones make it send the query ``passkey_request_options``; so the spoilt notification did arrive."""
    loopback.passkeys.require(A, PASSKEY.credential, PASSKEY.public_key)
    loopback.passkeys.spoil("options")
    await neonize.open("a")
    qr = (await neonize.event("a", "qr")).qr
    asked = loopback.counters()["queries"]

    await loopback.scan(A, qr)
    await until(loopback, lambda: loopback.counters()["queries"] == asked + 1)


async def test_a_pairing_code_leads_to_the_passkey(loopback: Loopback, neonize: Peers) -> None:
    """The phone takes the code and its key exchange first; then the passkey is asked for."""
    loopback.passkeys.require(A, PASSKEY.credential, PASSKEY.public_key)
    await neonize.open("a")
    await neonize.event("a", "qr")
    code = await neonize.pairing_code("a", A)

    assert await loopback.confirm_code(A, code) == ""

    assert loopback.passkeys.screen(A).step == "assertion"
    assert loopback.devices() == []
