"""One way to write a request: what two readers could read differently is refused, and what every server has to accept is accepted."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import trio
from msgspec import inspect
from structlog.testing import capture_logs

from actors.http.model import message_schema as kinds
from actors.http.model import webhook_bodies
from actors.http.model.bodies import END, Body, InitializeBody, decode
from actors.http.model.message_schema import SendBody
from actors.http.model.problems import Problem
from actors.http.model.suggestions import with_suggestion
from actors.http.model.webhook_bodies import NewWebhookBody
from actors.http.transport.failure_log import EVERY_S, FailureLog
from tests.http.raw import exchange, request
from tests.http.world import COMPANY_A, Daemon, until


@pytest.mark.parametrize("path", ["//livez", "/livez/", "/%2Flivez", "//admin/tree", "/metrics/", "/admin//tree"])
async def test_a_path_with_an_empty_part_is_not_found(daemon: Daemon, path: str) -> None:
    """Not even one that would lead to a page without a key."""
    answer = await exchange(daemon, request("GET", path, "Connection: close"))

    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_methods_are_written_in_capitals(daemon: Daemon) -> None:
    """As RFC 9110 has it; the connection ends."""
    assert (await exchange(daemon, request("get", "/livez"))).startswith(b"HTTP/1.1 501 ")


async def test_two_lengths_are_refused_and_end_the_connection(daemon: Daemon) -> None:
    """One reader would take the rest for a request, another for a body."""
    head = b"POST /api/whatsapp/events/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await exchange(daemon, head + b"0\r\n\r\n" + request("GET", "/livez", "Connection: close"))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("target", ["http://wasup.example/livez", "HTTPS://wasup.example:8080/livez"])
async def test_the_absolute_form_is_taken(daemon: Daemon, target: str) -> None:
    """Every server has to (RFC 9112, 3.2.2)."""
    assert (await exchange(daemon, request("GET", target, "Connection: close"))).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("early", [b"hello", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_a_websocket_that_speaks_too_early_is_no_failure(daemon: Daemon, early: bytes) -> None:
    """Refused without a key, it has broken nothing: no line is written at error."""
    handshake = (
        b"GET /api/whatsapp/events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with capture_logs() as lines:
        for _ in range(5):
            answer = await exchange(daemon, handshake + early)
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 401 "))

    assert [line for line in lines if line["log_level"] == "error"] == []


async def test_failures_of_one_kind_are_one_line_a_minute(autojump_clock: trio.testing.MockClock) -> None:
    """The first at once, then their number."""
    log = FailureLog()
    with capture_logs() as lines:
        for _ in range(3):
            for _ in range(100):
                log.note("ValueError", ["a.py:1 f"])
            log.note("KeyError", ["a.py:1 f"])
            await trio.sleep(EVERY_S)
        log.note("ValueError", ["a.py:1 f"])

    told = [(line["error"], line["count"]) for line in lines]
    assert [count for error, count in told if error == "ValueError"] == [1, 100, 100, 100]
    assert [count for error, count in told if error == "KeyError"] == [1, 1, 1]


def patterns(type_: inspect.Type) -> list[str]:
    """Every pattern within a type."""
    found: list[str] = []

    def walk(value: Any, seen: frozenset[int]) -> None:
        if isinstance(value, inspect.StrType) and value.pattern is not None:
            found.append(value.pattern)
        if isinstance(value, inspect.Type | inspect.Field) and id(value) not in seen:
            for name in value.__struct_fields__:
                walk(getattr(value, name), seen | {id(value)})
        elif isinstance(value, tuple):
            for each in value:
                walk(each, seen)

    walk(type_, frozenset())
    return found


def test_no_pattern_lets_a_line_break_pass() -> None:
    """`$` alone also stands before a last line break in Python."""
    found = [
        pattern
        for module in (kinds, webhook_bodies)
        for type_ in vars(module).values()
        if isinstance(type_, type) and issubclass(type_, Body)
        for pattern in patterns(inspect.type_info(type_))
    ]

    assert len(found) > 10
    assert [pattern for pattern in found if "$" in pattern.replace(END, "")] == []


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        (NewWebhookBody, {"url": "https://app.example/", "companies": ["962302\n"]}),
        (NewWebhookBody, {"url": "https://app.example/", "secret": "0123456789012345678901234\n"}),
        (SendBody, {"phone": "+79000000001", "poll": {"question": "Which?\n", "options": ["a", "b"]}}),
        (SendBody, {"phone": "+79000000001", "contact": {"name": "Name\n", "phone": "+79000000002"}}),
        (SendBody, {"phone": "+79000000001", "delete": {"messageId": "3EB0\n"}}),
    ],
)
def test_a_last_line_break_is_refused(type_: Any, body: object) -> None:
    """In ids, secrets and lines."""
    with pytest.raises(Problem, match="invalid_request"):
        decode(msgspec.json.encode(body), type_)


@pytest.mark.parametrize(
    ("type_", "body", "hint"),
    [
        (SendBody, {"phone": "+79000000001", "mesage": "x"}, "did you mean message?"),
        (SendBody, {"phone": "+79000000001", "message": "x", "options": {"mention": []}}, "did you mean mentions?"),
        (SendBody, {"phone": "+79000000001", "poll": {"question": "?", "option": []}}, "did you mean options?"),
        (InitializeBody, {"method": "cod"}, "one of code, qr, did you mean code?"),
        (NewWebhookBody, {"url": "https://a.example/", "eventTypes": ["mesage"]}, "did you mean message?"),
    ],
)
def test_an_unknown_name_gets_a_suggestion(type_: Any, body: object, hint: str) -> None:
    """From the fields and choices at that place."""
    with pytest.raises(Problem) as refused:
        decode(msgspec.json.encode(body), type_)

    assert hint in refused.value.detail


def test_what_is_near_nothing_gets_no_suggestion() -> None:
    """A wrong hint is worse than none."""
    text = "Object contains unknown field `xyz`"
    assert with_suggestion(text, SendBody) == text


async def test_an_unknown_type_of_event_and_an_unknown_action_get_one_too(daemon: Daemon) -> None:
    """In a query and in a path."""
    event = (await daemon.client.get("/api/whatsapp/events?type=mesage")).json()["detail"]
    action = (await daemon.client.post(f"/admin/actors/companies/{COMPANY_A}/restrat")).json()["detail"]

    assert re.search(r"did you mean message\?$", event)
    assert re.search(r"did you mean restart\?$", action)


async def test_reading_a_qr_code_is_in_the_audit_log(daemon: Daemon) -> None:
    """Its holder can link a device. Reads within some seconds are one record."""
    await daemon.client.post("/api/whatsapp/sessions/new-one/initialize")
    for _ in range(3):
        assert (await daemon.client.get("/api/whatsapp/sessions/new-one/qr")).status_code == 200
    await until(lambda: any(entry.action == "qr_read" for entry in daemon.world.audit))
    reads = [entry for entry in daemon.world.audit if entry.action == "qr_read"]

    assert [(entry.target, entry.count, entry.key_id) for entry in reads] == [("new-one", 3, "admin000")]


async def test_the_last_events_can_be_asked_for(daemon: Daemon) -> None:
    """`latest` turns the page round: the last of the matching events, in their order."""
    for number in range(5):
        daemon.world.publish(COMPANY_A, "message", number=number)
    page = (await daemon.client.get("/api/whatsapp/events?latest=true&limit=2")).json()

    assert [event["payload"]["number"] for event in page["events"]] == [3, 4]
