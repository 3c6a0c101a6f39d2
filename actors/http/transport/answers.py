"""Answers whose body is there as a whole, as the ASGI events that they go out in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from actors.http.transport.tasks import AsgiEvent

ANSWER: Final = "http.response"
REFUSAL: Final = "websocket.http.response"
"""What a WebSocket's handshake is answered with when there is to be none."""


def whole_response(
    status: int, content_type: str, body: bytes, headers: Mapping[str, str], *, kind: str = ANSWER
) -> tuple[AsgiEvent, AsgiEvent]:
    """Its head and its body; ``headers``, in ASCII, come on top of the type and length."""
    told = {"content-type": content_type, "content-length": str(len(body)), **headers}
    head: AsgiEvent = {"type": f"{kind}.start", "status": status, "headers": raw_headers(told)}
    return head, {"type": f"{kind}.body", "body": body, "more_body": False}


def raw_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """As ASGI has them; names in lower case."""
    return [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
