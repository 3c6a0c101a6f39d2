"""The linker's process against the loopback WhatsApp, and real clients that go on with the linked devices."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.engine.protocol import messages as p
from actors.linker.wire.messages import load_messages
from tests.engine.companies import LIDS, A, B, linked, taken_up, talk
from tests.engine.daemon import Engine, Link, run_engine
from tests.loopback import session as sessions
from tests.loopback.loopback import Loopback
from tests.loopback.pairing import PairingError
from tests.loopback.protobuf import Fields, parse
from tests.loopback.server import open_loopback
from tests.support.bars import patience

LINKER = "actors.linker.process"


@asynccontextmanager
async def linker_beside(tmp_path: Path, *arguments: str) -> AsyncIterator[tuple[Loopback, Engine]]:
    """A loopback WhatsApp with one account, and a linker."""
    place = tmp_path / "linker"
    place.mkdir()
    async with (
        open_loopback() as loopback,
        run_engine(place, loopback.endpoints.environment(), *arguments, module=LINKER) as linker,
    ):
        loopback.add_account(A, LIDS[A], "a")
        yield loopback, linker


async def offered(loopback: Loopback, linker: Engine, company_id: str = "a") -> tuple[Link, str]:
    """A company with a QR code on offer, and that code."""
    link = await linker.link(company_id)
    opened = await link.open(loopback.endpoints.proxy_url)
    assert opened.jid is None
    assert isinstance(await link.call(p.Connect), p.Done)
    return link, (await link.hear(p.Qr)).codes[0]


async def link_by_qr(loopback: Loopback, linker: Engine) -> Link:
    """A company linked and handed over."""
    link, code = await offered(loopback, linker)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loopback.scan, A, code)
        await link.hear(p.HandedOver)
    return link


async def test_a_qr_code_links_and_an_engine_goes_on(tmp_path: Path) -> None:
    """The credentials are in the record before the phone hears of it; an engine logs in with them, and both directions are read."""
    async with linker_beside(tmp_path) as (loopback, linker):
        first = await link_by_qr(loopback, linker)
        names = [type(said).__name__ for said in first.said]
        assert names.index("JournalDelta") < names.index("Paired") < names.index("HandedOver")
        async with run_engine(tmp_path, loopback.endpoints.environment()) as engine:
            first = await taken_up(engine, loopback, "a", first.record)
            second = await linked(engine, loopback, "b", B)
            await talk(first, second, "hello")

        assert loopback.counters()["pairings"] == 2
        assert json.loads(first.record.creds or b"")["me"]["id"] == f"{A}:1@s.whatsapp.net"


async def test_a_pairing_code_links(tmp_path: Path) -> None:
    """The code is requested while a QR code is on offer, and typed into the phone."""
    async with linker_beside(tmp_path) as (loopback, linker):
        link, _ = await offered(loopback, linker)
        answer = await link.call(p.RequestPairingCode, phone=A)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loopback.confirm_code, A, answer.code)
            handed_over = await link.hear(p.HandedOver)

        assert handed_over.jid == f"{A}:1@s.whatsapp.net"


async def test_a_wrong_pairing_code_links_nothing(tmp_path: Path) -> None:
    """The phone detects it; nothing is stored."""
    async with linker_beside(tmp_path) as (loopback, linker):
        link, _ = await offered(loopback, linker)
        await link.call(p.RequestPairingCode, phone=A)
        with pytest.raises(PairingError):
            await loopback.confirm_code(A, "1111-1111")

        assert link.record.creds is None
        assert loopback.counters()["pairings"] == 0


async def test_what_is_not_stored_is_not_linked(tmp_path: Path) -> None:
    """Postgres does not take the credentials in time: the phone hears that nothing was linked."""
    async with linker_beside(tmp_path, "--commit-within", "0.2") as (loopback, linker):
        link, code = await offered(loopback, linker)
        link.acknowledges = False
        with pytest.raises(PairingError):
            await loopback.scan(A, code)
        closed = await link.hear(p.Closed)

        assert (closed.kind, loopback.devices()) == ("pairing_failed", [])


async def test_two_linkings_of_one_company_are_one(tmp_path: Path) -> None:
    """A second connection of the same company is refused while the first one is open."""
    async with linker_beside(tmp_path) as (loopback, linker):
        await offered(loopback, linker)
        second = await linker.link("a")
        await second.send(p.Open(company_id="a", file_id=None, position=0, proxy=loopback.endpoints.proxy_url))

        assert (await second.hear(p.OpenRefused)).code == "already_open"


async def test_a_stop_leaves_nothing_with_whatsapp(tmp_path: Path) -> None:
    """Disconnect ends the stream; connecting anew offers another code."""
    async with linker_beside(tmp_path) as (loopback, linker):
        link, first = await offered(loopback, linker)
        assert isinstance(await link.call(p.Disconnect), p.Done)
        with trio.fail_after(patience(5)):
            while loopback.connections():
                await trio.sleep(0.01)
        await link.call(p.Connect)

        assert (await link.hear(p.Qr)).codes[0] != first


async def test_a_lost_stream_ends_the_offer(tmp_path: Path) -> None:
    """WhatsApp hangs up while a code is on offer."""
    async with linker_beside(tmp_path) as (loopback, linker):
        link, _ = await offered(loopback, linker)
        loopback.drop()

        closed = await link.hear(p.Closed)
        assert closed.kind == "pairing_failed"
        assert "lost" in closed.text


async def test_a_stream_cut_after_linking_is_linked_all_the_same(tmp_path: Path) -> None:
    """Without the restart notice: WhatsApp has the signature, so the device is handed over."""
    async with linker_beside(tmp_path) as (loopback, linker):
        loopback.cut_after_pairing()
        link = await link_by_qr(loopback, linker)

        assert link.record.creds is not None


async def test_no_proxy_is_said_in_words(tmp_path: Path) -> None:
    """Where the proxy does not answer, the disconnect names the proxy."""
    async with linker_beside(tmp_path) as (_, linker):
        link = await linker.link("a")
        await link.open("http://127.0.0.1:9")
        await link.call(p.Connect)

        closed = await link.hear(p.Closed)
        assert closed.kind == "connect_failure"
        assert closed.text.startswith("proxyconnect")


async def test_the_linker_introduces_itself_as_an_engine_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version, build hash, device properties and the request for history, as the library sends them; only keys differ."""
    seen: list[Any] = []
    client_payload, device_props = load_messages().handshake.ClientPayload, load_messages().registration.DeviceProps

    def note(data: bytes) -> Fields:
        seen.append(client_payload.FromString(data))
        return parse(data)

    async with linker_beside(tmp_path) as (loopback, linker):
        monkeypatch.setattr(sessions, "parse", note)
        await offered(loopback, linker)
        async with run_engine(tmp_path, loopback.endpoints.environment()) as engine:
            link = await engine.link("a")
            await link.open(loopback.endpoints.proxy_url)
            await link.call(p.Connect)
            await link.hear(p.Qr)
    for payload in seen:
        data = payload.devicePairingData
        assert device_props.FromString(data.deviceProps).os == "wasup"
        data.eRegid = data.eIdent = data.eSkeyVal = data.eSkeySig = b""
    ours, theirs = seen

    assert str(device_props.FromString(ours.devicePairingData.deviceProps)) == str(
        device_props.FromString(theirs.devicePairingData.deviceProps)
    )
    assert str(ours) == str(theirs)
