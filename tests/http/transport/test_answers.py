"""Whole responses as ASGI events."""

from __future__ import annotations

import pytest

from actors.http.transport.answers import REFUSAL, whole_response


def test_a_whole_answer_is_a_head_and_a_body() -> None:
    """The type, the length and further headers, their names in lower case; nothing follows the body."""
    head, body = whole_response(404, "text/plain", b"body", {"Retry-After": "1"})

    assert head == {
        "type": "http.response.start",
        "status": 404,
        "headers": [(b"content-type", b"text/plain"), (b"content-length", b"4"), (b"retry-after", b"1")],
    }
    assert body == {"type": "http.response.body", "body": b"body", "more_body": False}


def test_a_handshake_is_answered_in_events_of_its_own() -> None:
    """The same, by the names that ASGI has for a WebSocket that is not opened."""
    head, body = whole_response(404, "text/plain", b"", {}, kind=REFUSAL)

    assert (head["type"], body["type"]) == ("websocket.http.response.start", "websocket.http.response.body")


def test_no_header_goes_out_that_is_not_ascii() -> None:
    """It is an error here, instead of being read differently by each client."""
    with pytest.raises(UnicodeEncodeError):
        whole_response(200, "text/plain", b"", {"x": "\u00e9"})
