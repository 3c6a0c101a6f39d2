"""Accounts that require a passkey: the whole exchange against the loopback WhatsApp, and every failure on the way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.engine.protocol import messages as p
from actors.linker.assertion import BadAssertion, BadOptions, read_assertion, read_options
from tests.engine.companies import A
from tests.engine.daemon import Link
from tests.linker.test_linking import linker_beside, offered
from tests.loopback.authenticator import SoftPasskey
from tests.loopback.loopback import Loopback
from tests.support.bars import patience


@asynccontextmanager
async def asked(tmp_path: Path) -> AsyncIterator[tuple[Loopback, Link, SoftPasskey, dict[str, Any]]]:
    """A company whose code was scanned, and which is asked for the account's passkey."""
    async with linker_beside(tmp_path) as (loopback, linker):
        passkey = SoftPasskey()
        loopback.passkeys.require(A, passkey.credential, passkey.public_key)
        link, code = await offered(loopback, linker)
        assert not await loopback.scan(A, code)
        wanted = await link.hear(p.PasskeyWanted)
        yield loopback, link, passkey, json.loads(wanted.options)


async def answer(link: Link, response: object) -> Any:
    """Give a response; return the linker's reply."""
    return await link.call(p.AnswerPasskey, response=json.dumps(response).encode())


async def test_a_passkey_links_with_one_scan(tmp_path: Path) -> None:
    """The proof of the scanned code makes the comparison of codes unnecessary; no second code is shown."""
    async with asked(tmp_path) as (loopback, link, passkey, options):
        assert isinstance(await answer(link, passkey.sign(options)), p.Done)
        code = await link.hear(p.PasskeyCode)
        handed_over = await link.hear(p.HandedOver)

        assert not code.needs_confirmation
        assert handed_over.jid == f"{A}:1@s.whatsapp.net"
        assert len([said for said in link.said if isinstance(said, p.Qr)]) == 1
        assert loopback.counters()["pairings"] == 1


@pytest.mark.parametrize("changed", ["challenge", "origin", "type", "nothing at all"])
async def test_a_response_that_does_not_fit_is_refused_here(tmp_path: Path, changed: str) -> None:
    """Of another request, page or kind: refused at once, and the right one still links."""
    async with asked(tmp_path) as (_, link, passkey, options):
        refused = await answer(link, spoilt(passkey, options, changed))
        assert (type(refused), refused.code) == (p.Failed, "invalid_passkey_response")
        await answer(link, passkey.sign(options))

        assert (await link.hear(p.HandedOver)).jid == f"{A}:1@s.whatsapp.net"


def spoilt(passkey: SoftPasskey, options: dict[str, Any], changed: str) -> object:
    match changed:
        case "challenge":
            return passkey.sign({**options, "challenge": "AAAA"})
        case "origin":
            return passkey.sign(options, origin="chrome-extension://abcdefgh")
        case "type":
            return {**passkey.sign(options), "type": "password"}
        case _:
            return {}


async def test_a_forged_response_is_refused_by_whatsapp(tmp_path: Path) -> None:
    """Its signature is another key's: WhatsApp refuses it, the exchange stays where it was, and the right one still links."""
    async with asked(tmp_path) as (_, link, passkey, options):
        forged = SoftPasskey().sign(options)
        forged["id"] = forged["rawId"] = passkey.credential
        refused = await answer(link, forged)
        assert (type(refused), refused.code) == (p.Failed, "passkey_rejected")
        await answer(link, passkey.sign(options))

        assert (await link.hear(p.HandedOver)).jid == f"{A}:1@s.whatsapp.net"


def test_a_passkey_of_another_account_is_named() -> None:
    """Where WhatsApp lists the account's passkeys."""
    passkey = SoftPasskey()
    options = {"challenge": "AQID", "rpId": "whatsapp.com", "allowCredentials": [{"id": passkey.credential}]}
    known = read_options(json.dumps(options).encode())
    read_assertion(json.dumps(passkey.sign(options)).encode(), known)

    with pytest.raises(BadAssertion, match="another account"):
        read_assertion(json.dumps(SoftPasskey().sign(options)).encode(), known)


@pytest.mark.parametrize("options", [b"", b"[]", b"{}", b'{"challenge": ""}', b'{"challenge": "!"}', b" " * 70_000])
def test_a_request_without_a_challenge_is_none(options: bytes) -> None:
    """No response could fit it."""
    with pytest.raises(BadOptions):
        read_options(options)


async def test_a_second_request_makes_the_first_ones_response_worthless(tmp_path: Path) -> None:
    """WhatsApp asks anew: the old response is refused here, the new one links."""
    async with asked(tmp_path) as (loopback, link, passkey, options):
        loopback.passkeys.ask_again(A)
        again = json.loads((await link.hear(p.PasskeyWanted)).options)
        assert again["challenge"] != options["challenge"]
        assert (await answer(link, passkey.sign(options))).code == "invalid_passkey_response"
        await answer(link, passkey.sign(again))

        assert (await link.hear(p.HandedOver)).jid == f"{A}:1@s.whatsapp.net"


async def test_a_response_is_taken_once(tmp_path: Path) -> None:
    """Given again after it was taken, it is refused and does no harm."""
    async with asked(tmp_path) as (loopback, link, passkey, options):
        response = passkey.sign(options)
        await answer(link, response)
        await link.hear(p.PasskeyCode)

        assert (await answer(link, response)).code in {"no_passkey_wanted", "not_connected", "already_linked"}
        with trio.fail_after(patience(10)):
            while not loopback.devices():
                await link.receive()


async def test_a_stop_in_the_middle_links_nothing(tmp_path: Path) -> None:
    """While the passkey is waited for: no connection stays open, and nothing was stored."""
    async with asked(tmp_path) as (loopback, link, passkey, options):
        assert isinstance(await link.call(p.Disconnect), p.Done)
        assert (await answer(link, passkey.sign(options))).code == "not_connected"

        assert (loopback.devices(), link.record.creds) == ([], None)


async def test_a_confirmation_before_its_time_is_refused(tmp_path: Path) -> None:
    """There is no code to compare yet."""
    async with asked(tmp_path) as (_, link, _, _):
        assert (await link.call(p.ConfirmPasskey)).code == "no_passkey_wanted"
