"""Requests to URLs that others choose never reach what is not public (server-side request forgery)."""

from __future__ import annotations

import ssl

import pytest
import trio
import trustme

from actors.outbound.client import OutboundClient
from actors.outbound.errors import OutboundError, OutboundFailed, OutboundRefused
from actors.outbound.guard import Lookups
from tests.outbound.receiver import Names, Received, Wire, listening, policy

PUBLIC = "93.184.216.34"

FORMS = [
    # addresses as they are
    "https://127.0.0.1/",
    "https://127.8.9.10/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://192.0.0.8/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff0e::1]/",
    # addresses in other forms
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://0177.0.0.1/",
    "https://127.0.0.01/",
    "https://127.0.0.1./",
    "https://127.0.0.0x1/",
    "https://[::1%25lo]/",
    "https://[fe80::1%eth0]/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://127。0。0。1/",
    "https://①②⑦.0.0.1/",
    "https://%31%32%37.0.0.1/",
    # readers that disagree about where the host is
    "https://public.example@127.0.0.1/",
    "https://127.0.0.1:80@public.example/",
    "https://public.example#@127.0.0.1/",
    "https://public.example\\@127.0.0.1/",
    "https://127.0.0.1\\.public.example/",
    "https:///127.0.0.1/",
    "https:127.0.0.1/",
    "https://public.example:80:443/",
    "https://127.0.0.1\t/",
    "https://127.0.0.1\r\nX: y/",
    " https://127.0.0.1/",
    # other schemes
    "http://127.0.0.1/",
    "http://public.example/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "unix:///var/run/docker.sock",
    "ftp://127.0.0.1/",
    "//127.0.0.1/",
    "",
    # names that lead to them
    "https://localhost/",
    "https://loopback.example/",
    "https://metadata.example/",
    "https://nat64.example/",
    "https://sixtofour.example/",
    "https://mixed.example/",
    "https://mapped.example/",
    "https://scoped.example/",
    "https://nonsense.example/",
]

INTERNAL_NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "loopback.example": ["127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "sixtofour.example": ["2002:7f00:1::"],
    "mixed.example": [PUBLIC, "10.0.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "scoped.example": ["fe80::1%eth0"],
    "nonsense.example": ["127.1"],
}


def names() -> Names:
    return Names({"public.example": [[PUBLIC]], **{name: [found] for name, found in INTERNAL_NAMES.items()}})


@pytest.mark.parametrize("url", FORMS)
async def test_x8_no_form_of_an_internal_address_is_connected_to(url: str) -> None:
    """Refused before anything is connected to, whatever the form."""
    wire = Wire()
    client = OutboundClient(policy(), connections=1, resolve=names(), transport=wire)

    with pytest.raises(OutboundRefused) as refused:
        await client.fetch("POST", url, body=b"{}", timeout_s=5, max_bytes=100)

    assert wire.connects == []
    assert refused.value.reason in {"invalid_url", "address_not_allowed"}


async def test_what_is_public_is_connected_to_by_its_address() -> None:
    """The control of the table above: the wire is real, and it connects to an address."""
    wire = Wire()
    client = OutboundClient(policy(), connections=1, resolve=names(), transport=wire)

    with pytest.raises(OutboundFailed) as failed:
        await client.fetch("GET", "https://public.example/", timeout_s=5, max_bytes=100)

    assert (wire.connects, failed.value.reason) == ([PUBLIC], "unreachable")


async def test_x8_an_answer_that_changes_is_asked_for_once_a_connection() -> None:
    """A name that is public when checked and internal when resolved again: the checked address is used, the next try is refused."""
    changing = Names({"rebind.example": [[PUBLIC], ["127.0.0.1"]]})
    wire = Wire()
    client = OutboundClient(policy(), connections=1, resolve=changing, transport=wire)
    reasons: list[str] = []
    for _ in range(2):
        with pytest.raises(OutboundError) as caught:
            await client.fetch("GET", "https://rebind.example/", timeout_s=5, max_bytes=100)
        reasons.append(caught.value.reason)

    assert wire.connects == [PUBLIC]
    assert len(changing.asked) == 2
    assert reasons == ["unreachable", "address_not_allowed"]


async def test_x8_a_redirect_is_not_followed() -> None:
    """It is a response like any other; its target gets no request."""

    async def redirect(_: Received) -> tuple[int, dict[str, str], bytes]:
        return 307, {"location": f"http://127.0.0.1:{host.port}/internal"}, b""

    async with listening(redirect) as host:
        client = OutboundClient(
            policy(allow_http=True, networks=["127.0.0.1"]), connections=1, resolve=Lookups(2).of("")
        )
        answer = await client.fetch(
            "POST", f"http://127.0.0.1:{host.port}/hook", body=b"x", timeout_s=30, max_bytes=100
        )
        await client.aclose()

    assert answer.status == 307
    assert [request.target for request in host.received] == ["/hook"]


async def test_names_in_certificate_sni_and_host_stay_the_original_ones() -> None:
    """The connection goes to an address, and the receiver sees its name in SNI and Host, checked against its certificate."""
    authority = trustme.CA()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("receiver.example").configure_cert(served)
    asked: list[str] = []
    served.sni_callback = lambda _connection, name, _context: asked.append(name)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with listening(tls=served) as host:
        wire = Wire(host.port)
        known = Names({"receiver.example": [[PUBLIC]], "impostor.example": [[PUBLIC]]})
        client = OutboundClient(policy(tls=trusting), connections=1, resolve=known, transport=wire)
        answer = await client.fetch("GET", "https://receiver.example/x?y=1", timeout_s=30, max_bytes=100)
        with pytest.raises(OutboundFailed) as failed:
            await client.fetch("GET", "https://impostor.example/", timeout_s=30, max_bytes=100)
        await client.aclose()

    assert (answer.status, answer.body, wire.connects) == (200, b"fine", [PUBLIC, PUBLIC])
    assert [(r.target, r.headers["host"]) for r in host.received] == [("/x?y=1", "receiver.example")]
    assert asked == ["receiver.example", "impostor.example"]
    assert failed.value.reason == "tls_failed"


async def test_the_environment_names_no_proxy_for_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve and connect by itself, past every check."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with listening() as host:
        client = OutboundClient(
            policy(allow_http=True, networks=["127.0.0.1"]), connections=1, resolve=Lookups(2).of("")
        )
        answer = await client.fetch("GET", f"http://127.0.0.1:{host.port}/", timeout_s=30, max_bytes=100)
        await client.aclose()

    assert answer.status == 200


async def test_an_address_allowed_by_the_operator_is_reached() -> None:
    """Only that one: its neighbour stays refused."""
    async with listening() as host:
        inside = Names({"inside.example": [["127.0.0.1"]], "next.example": [["127.0.0.2"]]})
        client = OutboundClient(policy(allow_http=True, networks=["127.0.0.1/32"]), connections=1, resolve=inside)
        answer = await client.fetch("GET", f"http://inside.example:{host.port}/", timeout_s=30, max_bytes=100)
        with pytest.raises(OutboundRefused):
            await client.fetch("GET", f"http://next.example:{host.port}/", timeout_s=30, max_bytes=100)
        await client.aclose()

    assert answer.status == 200
    assert host.received[0].headers["host"] == f"inside.example:{host.port}"


async def test_a_name_with_several_addresses_is_tried_in_turn(autojump_clock: trio.testing.MockClock) -> None:
    """A few of them, not all."""
    wire = Wire()
    many = Names({"many.example": [[f"93.184.216.{number}" for number in range(1, 20)]]})
    client = OutboundClient(policy(), connections=1, resolve=many, transport=wire)

    with pytest.raises(OutboundFailed):
        await client.fetch("GET", "https://many.example/", timeout_s=5, max_bytes=100)

    assert wire.connects == [f"93.184.216.{number}" for number in range(1, 5)]
