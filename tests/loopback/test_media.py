"""Files: uploaded to the loopback's media host by real clients, described in a message, fetched and decrypted by others."""

from __future__ import annotations

import base64

import pytest
import trio

from tests.loopback.loopback import Loopback
from tests.loopback.peers import PeerError, Peers
from tests.loopback.users import PHONES, link

pytestmark = pytest.mark.slow

FILE = b"%PDF-1.4 " + bytes(range(256)) * 40


async def send_document(peers: Peers, sender: str, to: str) -> str:
    """Upload the file and send it as a document."""
    fields = await peers.upload(sender, "document", FILE)
    content = {"documentMessage": fields | {"mimetype": "application/pdf", "fileName": "a.pdf"}}
    return await peers.send_content(sender, to, content)


async def test_neonize_sends_a_file_to_baileys_and_back(loopback: Loopback, neonize: Peers, baileys: Peers) -> None:
    """Each library fetches and decrypts what the other uploaded, byte for byte."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link, loopback, neonize, "a")
        nursery.start_soon(link, loopback, baileys, "b")

    first = await send_document(neonize, "a", PHONES["b"])
    heard = await baileys.event("b", "message")
    back = {"document": {"base64": base64.b64encode(FILE).decode()}, "mimetype": "application/pdf", "fileName": "b.pdf"}
    second = await baileys.send_content("b", PHONES["a"], back)
    answer = await neonize.event("a", "message")

    assert (heard.id, heard.content["documentMessage"]["fileName"]) == (first, "a.pdf")
    assert await baileys.download("b", first) == FILE
    assert (answer.id, answer.content["documentMessage"]["fileName"]) == (second, "b.pdf")
    assert await neonize.download("a", second) == FILE
    assert loopback.uploads() == ["document", "document"]


async def test_a_media_host_that_refuses(loopback: Loopback, neonize: Peers) -> None:
    """A refused upload and a file that is gone are errors that the client reports."""
    await link(loopback, neonize, "a")
    await link(loopback, neonize, "b")
    loopback.refuse_media(507)
    with pytest.raises(PeerError, match="status code 507"):
        await neonize.upload("a", "image", FILE)

    sent = await send_document(neonize, "a", PHONES["b"])
    await neonize.event("b", "message")
    loopback.forget_media()

    with pytest.raises(PeerError, match="404"):
        await neonize.download("b", sent)
