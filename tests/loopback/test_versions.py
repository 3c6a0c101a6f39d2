"""Refused versions, and the page that states the newest one."""

from __future__ import annotations

import ssl

import h11
import pytest
import trio

from tests.loopback.companion import open_companion
from tests.loopback.loopback import Loopback
from tests.loopback.peers import Peers
from tests.loopback.protobuf import Fields, build, parse
from tests.loopback.users import PHONES, link
from tests.loopback.versions import Versions

A = PHONES["a"]
N = 1_047_769_893


def payload(*version: int) -> bytes:
    """The part of a client payload that announces a version."""
    return build({5: build({2: build(dict(enumerate(version, 1)))})})


def announcing(*version: int) -> Fields:
    """The same, as the server reads it."""
    return parse(payload(*version))


@pytest.mark.parametrize(("revision", "refused"), [(N - 1, True), (N, False), (N + 1, False)])
async def test_a_registration_of_an_old_version_is_refused(loopback: Loopback, revision: int, refused: bool) -> None:
    """Below N with 405 and before any QR code; N itself is taken."""
    loopback.refuse_version(N)

    async with open_companion(loopback.endpoints) as companion:
        with trio.move_on_after(5):
            if refused:
                assert (await companion.refused(payload(2, 3000, revision))) == "405"
            else:
                assert await companion.register(payload(2, 3000, revision))

    told = loopback.announced()
    assert [(one.phone, one.version, one.refused) for one in told] == [("", f"2.3000.{revision}", refused)]


async def test_part_of_the_numbers_and_from_a_time_on(autojump_clock: trio.testing.MockClock) -> None:
    """A fraction refuses the same numbers each time; a time that has not come refuses none; 0 ends it."""
    versions = Versions()
    phones = [str(79_000_000_000 + number) for number in range(1_000)]
    versions.refuse_below(N, fraction=0.3, after_s=60)
    before = sum(versions.refuses(phone, announcing(2, 3000, 1)) for phone in phones)
    await trio.sleep(60)
    first = {phone for phone in phones if versions.refuses(phone, announcing(2, 3000, 1))}
    second = {phone for phone in phones if versions.refuses(phone, announcing(2, 3000, 1))}
    versions.refuse_below(0)

    assert (before, first) == (0, second)
    assert 250 < len(first) < 350
    assert not versions.refuses(phones[0], announcing(2, 3000, 1))


def test_a_payload_without_a_version_is_old() -> None:
    """A payload without a version counts as version 0."""
    assert not Versions().refuses(A, parse(b""))


@pytest.mark.parametrize("wrong", [{"revision": -1}, {"fraction": 0.0}, {"fraction": 1.1}, {"after_s": -1.0}])
async def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    """The error says what would be right."""
    with pytest.raises(ValueError, match="must be 0 or more"):
        Versions().refuse_below(**({"revision": N} | wrong))  # type: ignore[arg-type]


async def fetch(loopback: Loopback, target: str = "/") -> tuple[int, bytes]:
    """GET a page of web.whatsapp.com through the proxy."""
    host, _, port = loopback.endpoints.proxy_url.removeprefix("http://").partition(":")
    context = ssl.create_default_context(cafile=loopback.endpoints.ca_file)
    async with await trio.open_tcp_stream(host, int(port)) as tcp:
        await tcp.send_all(b"CONNECT web.whatsapp.com:443 HTTP/1.1\r\nHost: web.whatsapp.com:443\r\n\r\n")
        assert b" 200 " in await tcp.receive_some(4096)
        tls = trio.SSLStream(tcp, context, server_hostname="web.whatsapp.com", https_compatible=True)
        client, status, body = h11.Connection(h11.CLIENT), 0, b""
        request = h11.Request(method="GET", target=target, headers=[("host", "web.whatsapp.com")])
        await tls.send_all((client.send(request) or b"") + (client.send(h11.EndOfMessage()) or b""))
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                client.receive_data(bytes(await tls.receive_some(4096)))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
        return status, body


async def test_the_page_tells_the_revision(loopback: Loopback) -> None:
    """At the chat server's name, by the same proxy, as web.whatsapp.com writes it; 0 takes it away; other paths are not found."""
    loopback.publish_version(N)
    status, body = await fetch(loopback)
    loopback.publish_version(0)
    _, without = await fetch(loopback)

    assert status == 200
    assert f'"client_revision":{N},'.encode() in body
    assert b"client_revision" not in without
    assert (await fetch(loopback, "/other"))[0] == 404
    assert loopback.versions.asked == 2


@pytest.mark.slow
async def test_real_clients_are_refused_at_log_in(loopback: Loopback, neonize: Peers, baileys: Peers) -> None:
    """Connected ones stay until they log in again; then neonize says it is outdated, and Baileys closes with 405."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link, loopback, neonize, "a")
        nursery.start_soon(link, loopback, baileys, "b")
    loopback.refuse_version(2_000_000_000)
    assert sum(device.logged_in for device in loopback.devices()) == 2

    loopback.drop()
    closed = await neonize.event("a", "closed", where=lambda event: event.code == 405)
    await baileys.event("b", "closed")  # that its stream was cut; it does not dial again by itself
    await baileys.open("b")
    refused = await baileys.event("b", "closed", where=lambda event: event.code == 405)

    assert (closed.reason, refused.code) == ("outdated", 405)
    assert all(one.version.startswith("2.3000.") for one in loopback.announced())
