"""Interprets how WhatsApp ends the stream of a device that is being linked. Pure."""

from __future__ import annotations

from typing import Final

from actors.engine.protocol.messages import Closed
from actors.linker.wire.nodes import Node

_TEMPORARY_BAN: Final = 402
_OUTDATED: Final = frozenset({405, 409})


def closed_by_failure(failure: Node) -> Closed:
    """Interpret ``<failure reason=…>`` in answer to the log-in."""
    code = _number(failure, "reason")
    if code == _TEMPORARY_BAN:
        return Closed(
            kind="temporary_ban",
            code=code,
            text=f"temporarily banned (reason {_number(failure, 'code')})",
            expires_in_s=float(_number(failure, "expire")),
        )
    if code in _OUTDATED:
        return Closed(kind="outdated", code=code, text="this WhatsApp client version is too old")
    return Closed(kind="pairing_failed", code=code, text=f"WhatsApp refused to link a device ({code})")


def closed_by_stream_error(error: Node) -> Closed:
    """Interpret ``<stream:error>`` before the device was linked."""
    code = _number(error, "code")
    return Closed(kind="pairing_failed", code=code, text=f"WhatsApp ended the stream ({code or 'no code'})")


def _number(node: Node, name: str) -> int:
    text = node.text(name, "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0
