"""The recipient of a message, for the library's send call. Pure."""

from __future__ import annotations

from typing import Any, Final

from actors.engine.errors import CallRefused
from actors.engine.protocol.messages import SendContent, SendText
from actors.engine.whatsmeow.builders import build_message
from actors.engine.whatsmeow.timers import Timer

_SERVERS: Final = frozenset({"s.whatsapp.net", "lid", "g.us", "broadcast", "newsletter"})


def build(protobufs: Any, e2e: Any, request: SendText | SendContent, timer: Timer | None) -> tuple[bytes, bytes]:
    """Return the serialised recipient and message. Raise `CallRefused` with `no_such_recipient` when the recipient is not a JID."""
    message = build_message(e2e, request, timer)
    return parse_jid(protobufs, request.to).SerializeToString(), message.SerializeToString()


def parse_jid(protobufs: Any, text: str) -> Any:
    """Return the library's JID for ``user@server``; a device part is dropped, since messages go to people."""
    user, at, server = text.partition("@")
    user = user.partition(":")[0]
    if server == "c.us":
        server = "s.whatsapp.net"
    if not at or not user or server not in _SERVERS:
        raise CallRefused("no_such_recipient", "the recipient is no JID like 79000000001@s.whatsapp.net")
    return protobufs.JID(User=user, Server=server, RawAgent=0, Device=0, Integrator=0, IsEmpty=False)
