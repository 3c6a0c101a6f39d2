"""Linking with a passkey: the server's and the phone's half against a client that takes whatsmeow's steps."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
import trio

from actors.linker.wire.nodes import leaf, node
from tests.loopback.authenticator import USER_PRESENT, SoftPasskey
from tests.loopback.companion import Companion, Prologue, RefusedError, open_companion, read_options
from tests.loopback.loopback import Loopback
from tests.loopback.pairing import PairingError
from tests.loopback.users import PHONES

A, B = PHONES["a"], PHONES["b"]
PASSKEY = SoftPasskey()


@pytest.fixture
async def companion(loopback: Loopback) -> AsyncGenerator[Companion]:
    """A client that registers; account a demands a passkey."""
    loopback.passkeys.require(A, PASSKEY.credential, PASSKEY.public_key)
    async with open_companion(loopback.endpoints) as opened:
        yield opened


async def scanned(loopback: Loopback, companion: Companion) -> dict[str, object]:
    """Scan the client's code with phone a; the options it is sent."""
    assert not await loopback.scan(A, await companion.register())
    return await companion.passkey_options()


async def test_one_scan_and_an_assertion_link(loopback: Loopback, companion: Companion) -> None:
    """With the handoff proof the request is accepted at once, and the device's identity is sealed with the renewed secret."""
    options = await scanned(loopback, companion)

    attempt = await companion.prologue(PASSKEY.sign(options))
    code = await companion.reveal(attempt)
    await companion.request(attempt)
    linked = await companion.countersign()

    assert (options["rpId"], options["userVerification"], options["timeout"]) == ("whatsapp.com", "required", 600_000)
    assert linked == await loopback.passkeys.linked(A) == f"{A}:1@s.whatsapp.net"
    screen = loopback.passkeys.screen(A)
    assert (screen.step, screen.code, screen.handed_off, screen.refusals) == ("linked", code, True, ())


async def test_without_a_proof_the_owner_compares(loopback: Loopback, companion: Companion) -> None:
    """The request waits until the owner has seen the same code on the phone."""
    attempt = await companion.prologue(PASSKEY.sign(await scanned(loopback, companion)), proof=False)
    code = await companion.reveal(attempt)
    await companion.request(attempt)
    waits = loopback.passkeys.screen(A)

    loopback.passkeys.compare(A, f"{code[:4]}-{code[4:]}")

    assert (waits.step, waits.handed_off, waits.code) == ("comparison", False, code)
    assert await companion.countersign() == f"{A}:1@s.whatsapp.net"


async def test_a_proof_after_five_minutes_does_not_count(loopback: Loopback, companion: Companion) -> None:
    """The owner has to compare the codes, as without one; a comparison before the request counts."""
    options = await scanned(loopback, companion)
    loopback.passkeys.age(A, 301)
    attempt = await companion.prologue(PASSKEY.sign(options))
    code = await companion.reveal(attempt)
    assert not loopback.passkeys.screen(A).handed_off

    loopback.passkeys.compare(A, code)
    await companion.request(attempt)

    assert await companion.countersign()


async def test_another_code_links_nothing(loopback: Loopback, companion: Companion) -> None:
    """An owner who sees another code denies it, and the client's stream ends."""
    attempt = await companion.prologue(PASSKEY.sign(await scanned(loopback, companion)), proof=False)
    code = await companion.reveal(attempt)
    await companion.request(attempt)

    with pytest.raises(PairingError, match="the codes differ"):
        loopback.passkeys.compare(A, code[::-1] if code != code[::-1] else "1" * 8)

    assert await companion.ended()
    assert loopback.devices() == []
    with pytest.raises(PairingError, match="gave it up"):
        await loopback.passkeys.linked(A)


FOREIGN = SoftPasskey()
WRONG: dict[str, tuple[SoftPasskey, dict[str, Any], str]] = {
    "another's passkey": (FOREIGN, {}, "403 forbidden"),
    "another key under the same id": (replace(FOREIGN, credential_id=PASSKEY.credential_id), {}, "401 not-authorized"),
    "made for another site": (replace(PASSKEY, rp_id="web.whatsapp.com"), {}, "401 not-authorized"),
    "made by another page": (PASSKEY, {"origin": "https://example.com"}, "401 not-authorized"),
    "made by an extension's page": (PASSKEY, {"origin": "chrome-extension://abc"}, "401 not-authorized"),
    "without user verification": (PASSKEY, {"flags": USER_PRESENT}, "401 not-authorized"),
    "of a registration": (PASSKEY, {"kind": "webauthn.create"}, "400 bad-request"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_assertion_is_refused(loopback: Loopback, companion: Companion, wrong: str) -> None:
    """Each with its code; a right one for the same challenge is taken afterwards."""
    passkey, how, refusal = WRONG[wrong]
    options = await scanned(loopback, companion)

    with pytest.raises(RefusedError, match=refusal):
        await companion.prologue(passkey.sign(options, **how))
    assert loopback.passkeys.screen(A).refusals == (refusal,)

    await companion.prologue(PASSKEY.sign(options))
    assert loopback.passkeys.screen(A).step == "nonce"


async def test_a_tampered_assertion_is_refused(loopback: Loopback, companion: Companion) -> None:
    """A signature over other data proves nothing; padded base64 is no assertion."""
    options = await scanned(loopback, companion)
    right: dict[str, Any] = PASSKEY.sign(options)
    other: dict[str, Any] = FOREIGN.sign(options)
    response: dict[str, Any] = right["response"]
    swapped = right | {"response": response | {"signature": other["response"]["signature"]}}
    padded = right | {"response": response | {"signature": response["signature"] + "="}}

    with pytest.raises(RefusedError, match="401"):
        await companion.prologue(swapped)
    with pytest.raises(RefusedError, match="400"):
        await companion.prologue(padded)


async def test_an_assertion_counts_once(loopback: Loopback, companion: Companion) -> None:
    """Replayed in a second prologue it is refused; the client gets a new challenge by asking, and goes on with that."""
    assertion = PASSKEY.sign(await scanned(loopback, companion))
    await companion.prologue(assertion)

    with pytest.raises(RefusedError, match="410 gone"):
        await companion.prologue(assertion)
    fresh = read_options(await companion.ask("get", node("passkey_request_options")))

    attempt = await companion.prologue(PASSKEY.sign(fresh))
    await companion.event("notification", "crsc_continuation")
    await companion.reveal(attempt)
    await companion.request(attempt)
    assert await companion.countersign()


async def test_a_late_assertion_is_refused(loopback: Loopback, companion: Companion) -> None:
    """After ten minutes; the options that are asked for then have another challenge."""
    options = await scanned(loopback, companion)
    asked = read_options(await companion.ask("get", node("passkey_request_options")))
    loopback.passkeys.age(A, 601)

    with pytest.raises(RefusedError, match="410 gone"):
        await companion.prologue(PASSKEY.sign(options), proof=False)
    renewed = read_options(await companion.ask("get", node("passkey_request_options")))

    assert asked == options
    assert renewed["challenge"] != options["challenge"]


async def test_the_server_changes_its_mind(loopback: Loopback, companion: Companion) -> None:
    """After a second request only its challenge counts; the handoff proof is still that of the scan."""
    first = await scanned(loopback, companion)
    loopback.passkeys.ask_again(A)
    second = read_options(await companion.event("notification", "passkey_prologue_request"))

    with pytest.raises(RefusedError, match="410 gone"):
        await companion.prologue(PASSKEY.sign(first))
    attempt = await companion.prologue(PASSKEY.sign(second))
    await companion.reveal(attempt)
    await companion.request(attempt)

    assert await companion.countersign()


async def test_a_second_request_ends_what_was_agreed(loopback: Loopback, companion: Companion) -> None:
    """A nonce for the attempt before is refused."""
    attempt = await companion.prologue(PASSKEY.sign(await scanned(loopback, companion)))
    loopback.passkeys.ask_again(A)

    with pytest.raises(RefusedError, match="404"):
        await companion.reveal(attempt)


async def test_the_owner_gives_it_up(loopback: Loopback, companion: Companion) -> None:
    """The client's stream ends, and nothing is linked."""
    await scanned(loopback, companion)

    loopback.passkeys.cancel(A)

    assert await companion.ended()
    with pytest.raises(PairingError, match="gave it up"):
        await loopback.passkeys.linked(A)
    assert loopback.passkeys.screen(A).step == "ended"


async def test_a_wrong_handoff_proof_is_refused(loopback: Loopback, companion: Companion) -> None:
    """One that was made with the renewed secret, or with none: not authorized, and the challenge stays good."""
    options = await scanned(loopback, companion)

    with pytest.raises(RefusedError, match="401"):
        await companion.prologue(PASSKEY.sign(options), proof=bytes(32))

    await companion.prologue(PASSKEY.sign(options))


async def test_a_reference_is_the_servers(loopback: Loopback, companion: Companion) -> None:
    """A prologue with an invented reference, or with one that was used, is refused."""
    options = await scanned(loopback, companion)

    with pytest.raises(RefusedError, match="404 item-not-found"):
        await companion.prologue(PASSKEY.sign(options), attempt=Prologue(b"invented"))
    attempt = await companion.prologue(PASSKEY.sign(options))
    with pytest.raises(RefusedError, match="404 item-not-found"):
        await companion.prologue(PASSKEY.sign(options), attempt=attempt)


async def test_another_nonce_than_committed_is_refused(loopback: Loopback, companion: Companion) -> None:
    """The client committed itself to one nonce before it saw the phone's: no other may decide the code."""
    attempt = await companion.prologue(PASSKEY.sign(await scanned(loopback, companion)))

    with pytest.raises(RefusedError, match="401"):
        await companion.reveal(replace(attempt, nonce=bytes(32)))


async def test_a_request_for_other_keys_is_refused(loopback: Loopback, companion: Companion) -> None:
    """The identity in the sealed request must be the one of this stream, and sealed for this exchange."""
    attempt = await companion.prologue(PASSKEY.sign(await scanned(loopback, companion)))
    await companion.reveal(attempt)

    with pytest.raises(RefusedError, match="401"):
        await companion.request(replace(attempt, key=bytes(32)))
    with pytest.raises(RefusedError, match="401"):
        await companion.request(attempt, identity=bytes(32))
    assert loopback.devices() == []


async def test_steps_out_of_order_are_refused(loopback: Loopback, companion: Companion) -> None:
    """Before a scan there is nothing; a nonce or a request before the prologue belongs to nothing; garbage is a bad request."""
    await companion.register()
    with pytest.raises(RefusedError, match="404"):
        await companion.ask("get", node("ref"))

    async with open_companion(loopback.endpoints) as second:
        await scanned(loopback, second)
        for question in ("companion_nonce", "encrypted_pairing_request"):
            with pytest.raises(RefusedError, match="404"):
                await second.ask("set", leaf(question, bytes(32)))
        with pytest.raises(RefusedError, match="400"):
            await second.ask("set", node("passkey_prologue"))


async def test_what_is_spoilt_comes_once(loopback: Loopback, companion: Companion) -> None:
    """Unreadable options in the notification, an error for the query, then everything is right again."""
    loopback.passkeys.spoil("options")
    loopback.passkeys.spoil("options_answer")
    await loopback.scan(A, await companion.register())
    told = await companion.event("notification", "passkey_prologue_request")

    with pytest.raises(ValueError, match="Expecting property name"):
        read_options(told)
    with pytest.raises(RefusedError, match="500 internal-server-error"):
        await companion.ask("get", node("passkey_request_options"))
    assert read_options(await companion.ask("get", node("passkey_request_options")))["rpId"] == "whatsapp.com"


async def test_a_spoilt_continuation(loopback: Loopback, companion: Companion) -> None:
    """The phone's ephemeral identity is not readable; the next attempt's is."""
    options = await scanned(loopback, companion)
    loopback.passkeys.spoil("continuation")
    attempt = await companion.prologue(PASSKEY.sign(options))

    with pytest.raises(ValueError, match="wire type"):
        await companion.reveal(attempt)
    fresh = read_options(await companion.ask("get", node("passkey_request_options")))
    assert await companion.reveal(await companion.prologue(PASSKEY.sign(fresh)))


async def test_only_accounts_with_a_passkey_ask_for_it(loopback: Loopback, companion: Companion) -> None:
    """Others link as before, and so does the same account after its passkey is no longer demanded."""
    loopback.passkeys.forget(A)
    qr = await companion.register()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loopback.scan, A, qr)
        assert await companion.countersign() == f"{A}:1@s.whatsapp.net"
    with pytest.raises(PairingError, match="no client was scanned"):
        loopback.passkeys.screen(B)


async def test_a_credential_must_be_readable(loopback: Loopback) -> None:
    """A text that is not base64url is refused, and the error names what it should be."""
    with pytest.raises(ValueError, match="not base64url"):
        loopback.passkeys.require(A, "a=b", PASSKEY.public_key)
