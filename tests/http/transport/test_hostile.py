"""Inputs that no honest client sends: each costs its own connection at most, and the server answers the next request."""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio

from actors.http.model.bodies import decode
from actors.http.model.problems import Problem
from tests.http.raw import connected, exchange, read_answer, read_to_end, request, reset, websocket_handshake
from tests.http.world import ADMIN_KEY, COMPANY_A, QUICK, Daemon, running, until

SEND = f"/api/whatsapp/sessions/{COMPANY_A}/send"
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
JSON = "Content-Type: application/json"


def _h2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _h2_headers(path: bytes, method: bytes = b"GET") -> bytes:
    """A HEADERS frame with literal, unindexed fields."""
    fields = ((b":method", method), (b":path", path), (b":scheme", b"http"), (b":authority", b"localhost"))
    block = b"".join(b"\0" + bytes([len(k)]) + k + bytes([len(v)]) + v for k, v in fields)
    return _h2_frame(1, 5, 1, block)


MASKED_PING = b"\x89\x80\0\0\0\0"
SETTINGS = _h2_frame(4, 0, 0, b"")

CONNECTIONS: dict[str, bytes] = {
    # Input that ends hypercorn's own server.
    "h2 path above 0x7f": H2_PREFACE + SETTINGS + _h2_headers(b"/\xff"),
    "h2 method above 0x7f": H2_PREFACE + SETTINGS + _h2_headers(b"/", b"G\xc3\x89T"),
    "h2c upgrade with undecodable settings": request(
        "GET", "/livez", "Upgrade: h2c", "HTTP2-Settings: \xff!!not base64"
    ),
    "websocket data before accept": websocket_handshake() + b"\x81\x85\0\0\0\0hello",
    "websocket rubbish before accept": websocket_handshake() + b"\xff" * 200,
    # HTTP/1.1
    "nothing": b"",
    "only line ends": b"\r\n\r\n\r\n",
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "lone newline headers": b"GET /livez HTTP/1.1\nHost: x\n\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
    "nul in target": b"GET /liv\0ez HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes above 0x7f in target": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "bad escapes in target": request("GET", "/%ff%fe%00%zz%"),
    "absolute target": request("GET", "http://other.example/livez"),
    "asterisk target": request("OPTIONS", "*"),
    "connect": request("CONNECT", "example.org:443"),
    "trace": request("TRACE", "/livez"),
    "unknown method": request("BREW", "/livez"),
    "http 2.0 in the request line": b"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n",
    "http 9.9": b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
    "folded header": b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b\r\nConnection: close\r\n\r\n",
    "header without colon": b"GET /livez HTTP/1.1\r\nHost: x\r\nrubbish\r\n\r\n",
    "header name with space": b"GET /livez HTTP/1.1\r\nHost: x\r\nX A: b\r\n\r\n",
    "header value with nul": b"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n",
    "header of 100 KiB": request("GET", "/livez", "X-A: " + "a" * 100_000),
    "ten thousand headers": request("GET", "/livez", *(f"X-{n}: a" for n in range(10_000))),
    "key above 0x7f": request("GET", "/api/whatsapp/sessions", "Authorization: Bearer \u00ff\u00fe" * 1, key=None),
    "two lengths": request("POST", SEND, JSON, "Content-Length: 2", "Content-Length: 3", body=b"{}x"),
    "length and chunks": request(
        "POST", SEND, JSON, "Content-Length: 2", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"
    ),
    "negative length": request("POST", SEND, JSON, "Content-Length: -1", body=b"{}"),
    "huge length": request("POST", SEND, JSON, "Content-Length: " + "9" * 100, body=b"{}"),
    "length of a gibibyte": request("POST", SEND, JSON, "Content-Length: 1073741824", body=b"{}" * 1000),
    "bad chunk size": request("POST", SEND, JSON, "Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n"),
    "endless chunk size": request("POST", SEND, JSON, "Transfer-Encoding: chunked", body=b"f" * 20_000),
    "unknown transfer coding": request("POST", SEND, JSON, "Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "expect something odd": request("POST", SEND, JSON, "Expect: 900-sing", "Content-Length: 2", body=b"{}"),
    "body cut short": request("POST", SEND, JSON, "Content-Length: 100", body=b"{}"),
    "pipelined": request("GET", "/livez").replace(b"Connection: close\r\n", b"") * 50 + request("GET", "/livez"),
    "rubbish after a request": request("GET", "/livez").replace(b"Connection: close\r\n", b"") + b"\xff" * 1000,
    "websocket without key": b"GET /api/whatsapp/events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "websocket version 99": websocket_handshake().replace(b"Version: 13", b"Version: 99"),
    "websocket by post": websocket_handshake().replace(b"GET", b"POST", 1),
    "websocket with a body": websocket_handshake("/api/whatsapp/events", "Content-Length: 5") + b"hello",
    "websocket path above 0x7f": websocket_handshake("/%ff%00"),
    "websocket strange extensions": websocket_handshake(
        "/api/whatsapp/events", 'Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=999, x; y="z'
    ),
    "websocket strange protocols": websocket_handshake("/api/whatsapp/events", "Sec-WebSocket-Protocol: a b, ,,"),
}


def only_ours_is_open(daemon: Daemon) -> bool:
    """Whether the connection of `daemon.client` is the only one left."""
    return b"wasup_http_open_connections 1.0" in daemon.metrics.exposition()


@pytest.mark.parametrize("name", CONNECTIONS)
async def test_e4_a_hostile_connection_harms_nobody_else(name: str) -> None:
    """The server ends that connection by itself and answers the next request; the HTTP actor was not restarted."""
    async with running(http=QUICK) as daemon:
        async with connected(daemon) as stream:
            try:
                await stream.send_all(CONNECTIONS[name])
                await stream.send_eof()
            except trio.BrokenResourceError:
                pass
            await read_to_end(stream)

        assert (await daemon.client.get("/livez")).status_code == 200
        assert daemon.system.snapshot("/http").restarts == 0
        await until(lambda: only_ours_is_open(daemon))


async def test_websocket_data_after_accept_may_be_anything(daemon: Daemon) -> None:
    """Broken frames end that stream only."""
    for rubbish in (b"\xff" * 200, b"\x83\x80\0\0\0\0", b"\x81\x05hello", b"\x88\x81\0\0\0\0x", MASKED_PING * 1000):
        async with connected(daemon) as stream:
            await stream.send_all(websocket_handshake())
            assert b" 101 " in await stream.receive_some(65536)
            await stream.send_all(rubbish)
            await stream.send_eof()
            await read_to_end(stream)
        assert (await daemon.client.get("/livez")).status_code == 200


async def test_e5_a_websocket_frame_above_the_limit_is_1009(daemon: Daemon) -> None:
    """The limit itself is accepted (and answered with 1003, for the stream takes no messages)."""
    for size, code in ((65536, 1003), (65537, 1009)):
        async with connected(daemon) as stream:
            await stream.send_all(websocket_handshake())
            assert b" 101 " in await stream.receive_some(65536)
            await stream.send_all(b"\x82\xff" + size.to_bytes(8, "big") + bytes(4) + bytes(size))
            closing = (await read_to_end(stream)).replace(b"\x89\0", b"")
        assert closing[2:4] == code.to_bytes(2, "big")


@pytest.mark.slow
@pytest.mark.parametrize("beginnings", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
async def test_e4_thousands_of_broken_beginnings(beginnings: int) -> None:
    """Requests with random bytes inserted, cut at random places: none of them ends the server."""
    seed = 20261121
    dice = random.Random(seed)
    samples = [value[:2000] for value in CONNECTIONS.values() if value]
    async with running(http=QUICK) as daemon:

        async def attack(count: int) -> None:
            for _ in range(count):
                data = bytearray(dice.choice(samples))
                for _ in range(dice.randrange(4)):
                    data[dice.randrange(len(data))] = dice.randrange(256)
                async with connected(daemon) as stream:
                    try:
                        await stream.send_all(bytes(data[: dice.randrange(1, len(data) + 1)]))
                    except trio.BrokenResourceError:
                        continue
                    if dice.random() < 0.5:
                        reset(stream)

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(attack, beginnings // 8)
        assert (await daemon.client.get("/livez")).status_code == 200, f"seed {seed}"
        assert daemon.system.snapshot("/http").restarts == 0, f"seed {seed}"
        await until(lambda: only_ours_is_open(daemon))
    print(
        f"E4: {len(CONNECTIONS)} hostile connections by name and {beginnings} broken beginnings, seed {seed}: 0 process exits"
    )


BODIES: dict[str, tuple[bytes, set[str]]] = {
    "empty": (b"", {"invalid_request", "invalid_json"}),
    "not json": (b"{", {"invalid_json"}),
    "a hundred thousand deep": (b"[" * 60_000, {"invalid_json", "invalid_request"}),
    "deep in a field": (b'{"phone":' + b'{"a":' * 9_000 + b"1" + b"}" * 9_000, {"invalid_json", "invalid_request"}),
    "nul byte": (b'{"phone":"+79000000002","message":"a\0b"}', {"invalid_json"}),
    "escaped nul": (b'{"phone":"+79000000002","message":"a\\u0000b"}', {"invalid_message"}),
    "lone surrogate": (b'{"phone":"+79000000002","message":"\\ud800"}', {"invalid_json"}),
    "broken utf-8": (b'{"phone":"+79000000002","message":"\xff\xfe"}', {"invalid_json"}),
    "utf-16": ('{"phone":"1"}'.encode("utf-16"), {"invalid_json"}),
    "nan": (b'{"phone":NaN,"message":"x"}', {"invalid_json"}),
    "number of 60 KB": (b'{"phone":' + b"9" * 60_000 + b',"message":"x"}', {"invalid_json", "invalid_request"}),
    "exponent": (b'{"phone":1e999999,"message":"x"}', {"invalid_json", "invalid_request"}),
    "two documents": (b'{"phone":"1","message":"x"}{}', {"invalid_json"}),
    "trailing comma": (b'{"phone":"1","message":"x",}', {"invalid_json"}),
    "prototype": (b'{"__proto__":{"admin":true},"phone":"1","message":"x"}', {"invalid_request"}),
    "an array": (b"[]", {"invalid_request"}),
    "null": (b"null", {"invalid_request"}),
    "a string": (b'"x"', {"invalid_request"}),
}


@pytest.mark.parametrize("name", BODIES)
async def test_e6_a_nasty_body_is_the_clients_fault(daemon: Daemon, name: str) -> None:
    """400 or 422 with its code; never 500, and nothing is sent."""
    body, codes = BODIES[name]

    answer = await daemon.client.post(SEND, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code in {400, 422}
    assert answer.json()["code"] in codes
    assert daemon.world.companies[COMPANY_A].sent == []


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000])
def test_e6_endless_nesting_is_not_json(body: bytes) -> None:
    """Where a type accepts anything, the recursion's end is the client's fault too."""
    with pytest.raises(Problem) as caught:
        decode(body, Any)

    assert caught.value.kind.code == "invalid_json"


async def test_e6_of_repeated_names_the_last_counts(daemon: Daemon) -> None:
    """As JSON parsers do; nothing breaks."""
    body = b'{"phone":"1","phone":"+79000000002","message":"a","message":"b"}'

    answer = await daemon.client.post(SEND, content=body)

    assert answer.status_code == 200
    assert daemon.world.companies[COMPANY_A].sent[0].text == "b"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin1",
    ],
)
async def test_another_media_type_is_415(daemon: Daemon, content_type: str) -> None:
    """The server does not guess a body's type."""
    answer = await daemon.client.post(SEND, content=b"{}", headers={"Content-Type": content_type})

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_e8_a_declared_gibibyte_is_refused_unread(daemon: Daemon) -> None:
    """413 before a byte of the body was sent."""
    async with connected(daemon) as stream:
        await stream.send_all(request("POST", SEND, JSON, "Content-Length: 1073741824"))
        answer = await read_to_end(stream)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body_too_large"' in answer


async def test_a_body_one_byte_above_the_limit_is_refused(daemon: Daemon) -> None:
    """Declared or in chunks; at the limit it is read."""
    fill = b'{"phone":"x","message":"' + b"x" * 65536
    for size, status in ((65536, b" 422 "), (65537, b" 413 ")):
        body = fill[: size - 2] + b'"}'
        declared = await exchange(daemon, request("POST", SEND, JSON, f"Content-Length: {size}", body=body))
        pieces = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:40_000], body[40_000:])) + b"0\r\n\r\n"
        chunked = await exchange(daemon, request("POST", SEND, JSON, "Transfer-Encoding: chunked", body=pieces))
        assert status in declared[:20]
        assert status in chunked[:20]


async def test_an_answer_before_the_end_of_a_request_is_the_connections_last(daemon: Daemon) -> None:
    """It says so, so that the client does not send its next request into a connection that is being closed; other responses do not."""
    for headers, body in (
        ("Content-Length: 100", b"{"),
        ("Content-Length: 1073741824", b""),
        ("Transfer-Encoding: chunked", b""),
    ):
        refused = request("POST", SEND, headers, body=body, key="wrong").replace(b"Connection: close\r\n", b"")
        assert b"\r\nconnection: close\r\n" in (await exchange(daemon, refused)).lower()
    async with connected(daemon) as stream:
        for whole in (request("GET", "/livez"), request("POST", SEND, JSON, "Content-Length: 2", body=b"{}")):
            await stream.send_all(whole.replace(b"Connection: close\r\n", b""))
            assert b"connection:" not in (await read_answer(stream)).lower()


async def test_a_client_that_sends_everything_first_still_gets_its_413(daemon: Daemon) -> None:
    """What comes after the refusal is read and dropped for a while, so that no reset loses the response."""
    body = b"x" * 500_000

    answer = await exchange(daemon, request("POST", SEND, JSON, f"Content-Length: {len(body)}", body=body))

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_x9_nothing_of_a_request_gets_into_the_log_as_it_came(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    """Line ends, a megabyte and the key itself do not appear in it."""
    await daemon.client.get("/nowhere%0d%0aforged=1", headers={"X-Api-Key": "k" * 20})
    await daemon.client.get("/" + "a" * 8000)
    await daemon.client.post(SEND, json={"phone": "+79000000002", "message": "private text"})
    logged = capsys.readouterr().out

    assert "request" in logged
    for secret in ("forged", "aaaaaaaa", "k" * 20, ADMIN_KEY, "private text", "9000000002"):
        assert secret not in logged
