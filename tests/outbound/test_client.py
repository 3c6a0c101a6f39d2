"""Requests to the outside: limits of time and size, and how failures are reported."""

from __future__ import annotations

import gc
import threading

import pytest
import trio
from trio.testing import MockClock

from actors.outbound.client import OutboundClient, policy_of
from actors.outbound.errors import OutboundFailed, OutboundRefused
from actors.outbound.guard import Lookups
from actors.outbound.urls import read_url
from config.sections import OutboundSettings
from tests.outbound.receiver import Names, Received, Wire, listening, policy

INSIDE = ["127.0.0.1"]


def client(connections: int = 1) -> OutboundClient:
    return OutboundClient(policy(allow_http=True, networks=INSIDE), connections=connections, resolve=Lookups(2).of(""))


async def test_look_ups_that_hang_leave_threads_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver of one company's names hangs: two threads, also when the callers have long given up; another's name is found at once."""
    release, hanging = threading.Event(), list[str]()

    def find(host: bytes, port: int, **_: object) -> list[tuple[object, ...]]:
        if host.startswith(b"hangs"):
            hanging.append(threading.current_thread().name)
            assert release.wait(60)
        return [(0, 0, 0, "", ("192.0.2.1", port))]

    monkeypatch.setattr("actors.outbound.guard.socket.getaddrinfo", find)
    lookups = Lookups(4)
    of_a, of_b = lookups.of("a"), lookups.of("b")
    try:
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(of_a, f"hangs{number}.example", 443)
                while len(hanging) < 2:
                    await trio.sleep(0.001)
                found = await of_b("fine.example", 443)
                nursery.cancel_scope.cancel()
            with trio.move_on_after(0.1):
                await of_a("hangs.example", 443)
            found_later = await of_b("fine.example", 443)
    finally:
        release.set()

    assert (found, found_later) == (["192.0.2.1"], ["192.0.2.1"])
    assert len(hanging) == 2


async def test_a_request_is_sent_as_given_and_its_answer_comes_back() -> None:
    """Method, target, headers and body; status, headers and body; the connection is used again."""

    async def answer(_: Received) -> tuple[int, dict[str, str], bytes]:
        return 201, {"X-Kind": "test"}, b"made"

    async with listening(answer) as host:
        outbound = client()
        answers = [
            await outbound.fetch(
                "POST",
                f"http://127.0.0.1:{host.port}/a?b=c",
                headers=[("X-Mine", "1")],
                body=b"{}",
                timeout_s=30,
                max_bytes=9,
            )
            for _ in range(2)
        ]
        await outbound.aclose()

    request = host.received[0]
    assert (request.method, request.target, request.headers["x-mine"], request.body) == ("POST", "/a?b=c", "1", b"{}")
    got = answers[0]
    assert (got.status, got.headers["x-kind"], got.body, got.is_cut) == (201, "test", b"made", False)
    assert (len(host.received), host.connections) == (2, 1)


@pytest.mark.parametrize("may_cut", [True, False])
async def test_an_answer_is_read_up_to_its_limit(may_cut: bool) -> None:
    """Beyond it nothing is read: it fails, or is cut where the caller asked for that. The next request is still served."""

    async def large(request: Received) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, b"x" * (10_000_000 if request.target == "/large" else 3)

    async with listening(large) as host:
        outbound = client()
        url = f"http://127.0.0.1:{host.port}/large"
        if may_cut:
            answer = await outbound.fetch("GET", url, timeout_s=30, max_bytes=1000, may_cut=True)
            assert (len(answer.body), answer.is_cut) == (1000, True)
        else:
            with pytest.raises(OutboundFailed) as failed:
                await outbound.fetch("GET", url, timeout_s=30, max_bytes=1000)
            assert failed.value.reason == "too_large"
        gc.collect()  # a generator left halfway would complain here
        again = await outbound.fetch("GET", f"http://127.0.0.1:{host.port}/small", timeout_s=30, max_bytes=1000)
        await outbound.aclose()

    assert again.body == b"xxx"


async def test_a_host_that_says_nothing_is_given_up() -> None:
    """One deadline for the whole request; the place in the pool is free again."""

    async def silent_once(_: Received) -> tuple[int, dict[str, str], bytes] | None:
        return None if len(host.received) == 1 else (200, {}, b"")

    async with listening(silent_once) as host:
        outbound = client()
        with pytest.raises(OutboundFailed) as failed:
            await outbound.fetch("GET", f"http://127.0.0.1:{host.port}/", timeout_s=0.2, max_bytes=10)
        again = await outbound.fetch("GET", f"http://127.0.0.1:{host.port}/", timeout_s=30, max_bytes=10)
        await outbound.aclose()

    assert (failed.value.reason, again.status) == ("timed_out", 200)


async def test_a_body_that_trickles_is_given_up() -> None:
    """A byte now and then does not extend the deadline."""

    async def trickle(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        try:
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                await stream.send_all(b"x")
                await trio.sleep(0.02)
        except trio.BrokenResourceError:
            return

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, trickle, listeners)
        outbound = client()
        with pytest.raises(OutboundFailed) as failed:
            await outbound.fetch(
                "GET", f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/", timeout_s=0.3, max_bytes=100_000
            )
        await outbound.aclose()
        nursery.cancel_scope.cancel()

    assert failed.value.reason == "timed_out"


async def test_a_name_that_takes_for_ever_is_given_up(autojump_clock: MockClock) -> None:
    """After ``connect_timeout_s``."""

    async def never(_host: str, _port: int) -> list[str]:
        await trio.sleep_forever()
        raise AssertionError

    outbound = OutboundClient(policy(connect_s=5), connections=1, resolve=never, transport=Wire())
    with pytest.raises(OutboundFailed) as failed:
        await outbound.fetch("GET", "https://slow.example/", timeout_s=60, max_bytes=10)

    assert (failed.value.reason, trio.current_time()) == ("timed_out", 5.0)


@pytest.mark.parametrize(
    ("spoken", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol_error"),
        (b"", "protocol_error"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "protocol_error"),
    ],
)
async def test_what_is_not_http_is_told(spoken: bytes, reason: str) -> None:
    """A banner, no byte, half a response."""

    async def speak(stream: trio.SocketStream) -> None:
        await stream.receive_some(65536)
        await stream.send_all(spoken)
        await stream.send_eof()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, speak, listeners)
        outbound = client()
        with pytest.raises(OutboundFailed) as failed:
            await outbound.fetch(
                "GET", f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/", timeout_s=30, max_bytes=100
            )
        await outbound.aclose()
        nursery.cancel_scope.cancel()

    assert failed.value.reason == reason


async def test_a_name_nobody_knows_is_told() -> None:
    """`unresolvable`, and nothing was connected to."""
    wire = Wire()
    outbound = OutboundClient(policy(), connections=1, resolve=Names({"empty.example": [[]]}), transport=wire)
    for name in ("nobody", "empty"):
        with pytest.raises(OutboundFailed) as failed:
            await outbound.fetch("GET", f"https://{name}.example/", timeout_s=5, max_bytes=10)
        assert failed.value.reason == "unresolvable"

    assert wire.connects == []


async def test_the_systems_resolver_is_asked() -> None:
    """localhost is found there, and refused because of its address."""
    outbound = OutboundClient(policy(), connections=1, resolve=Lookups(2).of(""), transport=Wire())

    with pytest.raises(OutboundRefused) as refused:
        await outbound.fetch("GET", "https://localhost/", timeout_s=30, max_bytes=10)

    assert refused.value.reason == "address_not_allowed"


def test_the_policy_comes_from_the_settings() -> None:
    """http is refused by default, and no internal address is allowed."""
    default = policy_of(OutboundSettings())

    assert (default.allow_http, default.networks) == (False, ())
    with pytest.raises(OutboundRefused):
        default.check_url("http://public.example/")
    assert default.check_url("https://Public.Example:8443/Path?q").host_header == "public.example:8443"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://a.example/", "must begin with https://"),
        ("https://u:p@a.example/", "user or password"),
        ("https://a.example/#x", "fragment"),
        ("https://a.example:0/", "port"),
        ("https://a.example:65536/", "port"),
        ("https://1.2.3/", "four decimal numbers"),
        ("https://a..example/", "no host"),
        ("https://-a.example/", "no host"),
        ("https://[::g]/", "no host"),
        ("https://[1::2::3]/", "IPv6"),
        ("https://müller.example/", "punycode"),
        ("https://a.example/" + "x" * 2048, "1 to 2048"),
        ("a.example", "write https://"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: str, says: str) -> None:
    """The error says what would be right, without repeating the URL."""
    with pytest.raises(OutboundRefused, match=says) as refused:
        read_url(url)

    assert refused.value.reason == "invalid_url"
    assert "example" not in refused.value.text
