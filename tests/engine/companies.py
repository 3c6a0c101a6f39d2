"""Two companies of an engine process, linked with the loopback WhatsApp, that write to each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from actors.engine.protocol import messages as p
from tests.engine.daemon import Engine, Link, Record, run_engine
from tests.loopback.loopback import Loopback
from tests.loopback.server import open_loopback

A, B = "79000000001", "79000000002"
LIDS = {A: "100000000000001", B: "100000000000002"}


async def linked(engine: Engine, loopback: Loopback, company_id: str, number: str) -> Link:
    """A company linked by QR and logged in."""
    phone = loopback.add_account(number, LIDS[number], company_id)
    link = await engine.link(company_id)
    await link.open(loopback.endpoints.proxy_url)
    await link.call(p.Connect)
    await phone.scan((await link.hear(p.Qr)).codes[0])
    await link.hear(p.Paired)
    await link.hear(p.Connected)
    return link


async def taken_up(engine: Engine, loopback: Loopback, company_id: str, record: Record) -> Link:
    """A company that was linked before, logged in again."""
    link = await engine.link(company_id, record)
    await link.open(loopback.endpoints.proxy_url)
    await link.call(p.Connect)
    await link.hear(p.Connected)
    return link


async def both_linked(engine: Engine, loopback: Loopback) -> tuple[Link, Link]:
    """Two companies, each linked and logged in."""
    return await linked(engine, loopback, "a", A), await linked(engine, loopback, "b", B)


async def both_taken_up(engine: Engine, loopback: Loopback, first: Link, second: Link) -> tuple[Link, Link]:
    """The two, logged in again by another engine process."""
    return (
        await taken_up(engine, loopback, first.company_id, first.record),
        await taken_up(engine, loopback, second.company_id, second.record),
    )


async def say(sender: Link, to: str, text: str, **fields: object) -> p.Sent:
    """Send, and check that it was sent."""
    sent = await sender.call(p.SendText, to=to, text=text, **fields)
    assert isinstance(sent, p.Sent), sent
    return sent


async def talk(first: Link, second: Link, word: str) -> None:
    """One message in each direction arrives, decrypted."""
    await say(first, f"{B}@s.whatsapp.net", f"{word} there")
    assert (await second.hear_message())["text"] == f"{word} there"
    await say(second, f"{A}@s.whatsapp.net", f"{word} back")
    assert (await first.hear_message())["text"] == f"{word} back"


@asynccontextmanager
async def two_companies(tmp_path: Path) -> AsyncIterator[tuple[Loopback, Engine, Link, Link]]:
    """Two linked companies in one engine process."""
    async with open_loopback() as loopback, run_engine(tmp_path, loopback.endpoints.environment()) as engine:
        yield loopback, engine, *await both_linked(engine, loopback)
