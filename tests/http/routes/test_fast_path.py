"""The fast path: the same responses as the framework's, and only for plain requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from actors import messages as m
from actors.http.routes.fast_path import Plain, plain_request
from actors.messages import CompanyState
from tests.http.raw import connected, read_to_end
from tests.http.world import A_KEY, COMPANY_A, COMPANY_B, QUICK, Daemon, running, sample_world

SEND = f"/api/whatsapp/sessions/{COMPANY_A}/send"
BODY: dict[str, Any] = {"phone": "+79000000002", "message": "hello"}
FRAMEWORK: Mapping[str, str] = {"way": "framework"}
"""The fast path does not know queries."""
JSON = (b"content-type", b"application/json")
LENGTH = (b"content-length", b"9")
VARYING = frozenset({"date", "x-request-id", "connection"})
"""Whether the connection ends after a refusal depends on how much of the request has arrived, which is chance."""


def scope(*headers: tuple[bytes, bytes], path: str = SEND, method: str = "POST", query: bytes = b"") -> dict[str, Any]:
    """A request as hypercorn describes it."""
    given = [(b"host", b"localhost:3003"), *headers]
    return {"type": "http", "method": method, "path": path, "query_string": query, "headers": given}


@pytest.mark.parametrize("json", [JSON, (b"content-type", b"application/json; charset=utf-8")])
def test_a_plain_request_names_a_company_and_perhaps_a_key(json: tuple[bytes, bytes]) -> None:
    """Any other header changes nothing."""
    assert plain_request(scope(json, LENGTH, (b"x-api-key", b"k")), 64) == Plain(COMPANY_A, None)
    assert plain_request(scope(json, LENGTH, (b"idempotency-key", b"order-17")), 64) == Plain(COMPANY_A, "order-17")


@pytest.mark.parametrize(
    "request_",
    [
        scope(JSON, LENGTH, method="GET"),
        scope(JSON, LENGTH, method="OPTIONS"),
        scope(JSON, LENGTH, query=b"a=b"),
        scope(JSON, LENGTH, path=f"{SEND}/"),
        scope(JSON, LENGTH, path=f"/{SEND}"),
        scope(JSON, LENGTH, path=f"{SEND}\n"),
        scope(JSON, LENGTH, path=SEND.replace(COMPANY_A, "96 2302")),
        scope(JSON, LENGTH, path=SEND.replace(COMPANY_A, "9" * 65)),
        scope(JSON, LENGTH, path=SEND.replace("send", "status")),
        scope(JSON),
        scope(JSON, (b"content-length", b"0")),
        scope(JSON, (b"content-length", b"65")),
        scope(JSON, LENGTH, (b"transfer-encoding", b"chunked")),
        scope(JSON, LENGTH, (b"expect", b"100-continue")),
        scope(JSON, LENGTH, (b"content-encoding", b"gzip")),
        scope(JSON, LENGTH, (b"idempotency-key", b"a"), (b"idempotency-key", b"b")),
        scope(JSON, LENGTH, JSON),
        scope(LENGTH),
        scope(LENGTH, (b"content-type", b"text/plain")),
        {**scope(JSON, LENGTH), "headers": [(b"host", b"local host"), JSON, LENGTH]},
    ],
)  # fmt: skip
def test_whatever_is_not_plain_is_left_to_the_framework(request_: dict[str, Any]) -> None:
    """It knows how to respond to all that."""
    assert plain_request(request_, 64) is None


def test_a_body_as_long_as_allowed_is_plain_and_a_longer_one_is_not() -> None:
    """The limit is that of the settings."""
    assert plain_request(scope(JSON, (b"content-length", b"64")), 64) == Plain(COMPANY_A, None)


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (SEND, BODY, {}),
        (SEND, BODY, {"Idempotency-Key": "order-17"}),
        (SEND, BODY, {"Idempotency-Key": "no key"}),
        (SEND, {**BODY, "colour": "red"}, {}),
        (SEND, {**BODY, "phone": "1"}, {}),
        (SEND, {**BODY, "message": ""}, {}),
        (SEND, {"phone": "+79000000002"}, {}),
        (SEND.replace(COMPANY_A, "nobody"), BODY, {}),
        (SEND.replace(COMPANY_A, COMPANY_B), BODY, {"Authorization": f"Bearer {A_KEY}"}),
        (SEND, BODY, {"Authorization": "Bearer wasup_wrong000_0123456789abcdefghijklmnopqrstuvwxyzABCDEF"}),
        (SEND, BODY, {"Authorization": ""}),
    ],
)
async def test_both_ways_give_the_same_answer(
    daemon: Daemon, path: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    """Status, headers and body; a repeat of a key on the other path gets the first path's response."""
    short = await daemon.client.post(path, json=body, headers=headers)
    long = await daemon.client.post(path, json=body, headers=headers, params=FRAMEWORK)

    ignored = VARYING | ({"ratelimit-remaining"} if short.status_code == 200 else set())
    if "Idempotency-Key" in headers and short.status_code == 200:
        assert (long.json(), long.headers["idempotency-replayed"]) == (short.json(), "true")
    else:
        assert told(long, ignored) == told(short, ignored)


def told(answer: httpx.Response, ignored: frozenset[str] | set[str]) -> object:
    """What a client gets, less what differs between any two responses."""
    body = {name: value for name, value in answer.json().items() if name != "messageId"}
    return answer.status_code, {name: answer.headers[name] for name in answer.headers if name not in ignored}, body


@pytest.mark.parametrize("raw", [b"{", b"[]", b'"\xff"', b"[" * 60_000])
async def test_both_ways_refuse_the_same_bodies(daemon: Daemon, raw: bytes) -> None:
    """Bodies that are no JSON, and JSON that is no message."""
    headers = {"Content-Type": "application/json"}
    short = await daemon.client.post(SEND, content=raw, headers=headers)
    long = await daemon.client.post(SEND, content=raw, headers=headers, params=FRAMEWORK)

    assert short.status_code >= 400
    assert told(long, VARYING) == told(short, VARYING)


async def test_both_ways_tell_the_same_of_a_company_that_cannot_send(daemon: Daemon) -> None:
    """And of an unexpected error."""
    company = daemon.world.companies[COMPANY_A]
    company.state = CompanyState.UNLINKED
    answers = [await daemon.client.post(SEND, json=BODY, params=way) for way in ({}, FRAMEWORK)]
    company.state = CompanyState.CONNECTED

    async def fail(message: object) -> None:
        if isinstance(message, m.SendText):
            raise m.Refused("not_in_the_catalogue", "as the test wants it")

    company.on_ask = fail
    failed = [await daemon.client.post(SEND, json=BODY, params=way) for way in ({}, FRAMEWORK)]

    assert answers[0].status_code == 409
    assert told(answers[0], VARYING) == told(answers[1], VARYING)
    assert failed[0].status_code == 500
    assert told(failed[0], VARYING) == told(failed[1], VARYING)


async def test_both_ways_are_one_route_in_the_metrics(daemon: Daemon) -> None:
    """By its template: a path may hold anything."""
    for way in ({}, FRAMEWORK):
        await daemon.client.post(SEND, json=BODY, params=way)

    metrics = (await daemon.client.get("/metrics")).text
    template = 'route="/api/whatsapp/sessions/{company_id}/send"'
    assert [line.split()[-1] for line in metrics.splitlines() if template in line] == ["2.0"]


@pytest.mark.parametrize(("ends", "expected"), [(False, b"HTTP/1.1 408 "), (True, b"HTTP/1.1 400 ")])
async def test_a_body_that_does_not_come_whole_is_not_waited_for(ends: bool, expected: bytes) -> None:
    """408 after the time to read, 400 when the client closes its side before; nothing is sent."""
    world = sample_world()
    async with running(world, QUICK) as daemon, connected(daemon) as stream:
        head = f"POST {SEND} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {A_KEY}\r\nContent-Type: application/json\r\n"
        await stream.send_all(f"{head}Content-Length: 40\r\n\r\n{{".encode())
        if ends:
            await stream.send_eof()
        answer = await read_to_end(stream)

    assert answer.startswith(expected)
    assert world.companies[COMPANY_A].sent == []
