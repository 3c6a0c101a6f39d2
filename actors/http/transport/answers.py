"""ASGI events of responses whose whole body is at hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from actors.http.transport.tasks import AsgiEvent

ANSWER: Final = "http.response"
REFUSAL: Final = "websocket.http.response"
"""The event kind that answers a WebSocket handshake with an HTTP response instead of a connection."""


def whole_response(
    status: int, content_type: str, body: bytes, headers: Mapping[str, str], *, kind: str = ANSWER
) -> tuple[AsgiEvent, AsgiEvent]:
    """Return the events of a response: its head and its body. ``headers`` must be ASCII; the content type and length are added."""
    all_headers = {"content-type": content_type, "content-length": str(len(body)), **headers}
    head: AsgiEvent = {"type": f"{kind}.start", "status": status, "headers": raw_headers(all_headers)}
    return head, {"type": f"{kind}.body", "body": body, "more_body": False}


def raw_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return ``headers`` in ASGI's form, with names in lower case."""
    return [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
