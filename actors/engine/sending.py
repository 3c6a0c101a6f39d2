"""Text messages for the library's send call. Pure."""

from __future__ import annotations

from typing import Any, Final

from actors.engine.errors import CallRefused
from actors.engine.protocol import QuotedMessage, SendText

_SERVERS: Final = frozenset({"s.whatsapp.net", "lid", "g.us", "broadcast", "newsletter"})


def build_text(protobufs: Any, e2e: Any, request: SendText) -> tuple[bytes, bytes]:
    """The serialised recipient and message; `CallRefused` with `no_such_recipient` when the JID is none."""
    return parse_jid(protobufs, request.to).SerializeToString(), _message(e2e, request).SerializeToString()


def parse_jid(protobufs: Any, text: str) -> Any:
    """The library's JID for ``user@server``; a device part is dropped, since one sends to people."""
    user, at, server = text.partition("@")
    user = user.partition(":")[0]
    if server == "c.us":
        server = "s.whatsapp.net"
    if not at or not user or server not in _SERVERS:
        raise CallRefused("no_such_recipient", "the recipient is no JID like 79000000001@s.whatsapp.net")
    return protobufs.JID(User=user, Server=server, RawAgent=0, Device=0, Integrator=0, IsEmpty=False)


def _message(e2e: Any, request: SendText) -> Any:
    if request.quoted is None:
        return e2e.Message(conversation=request.text)
    return e2e.Message(
        extendedTextMessage=e2e.ExtendedTextMessage(text=request.text, contextInfo=_context(e2e, request.quoted))
    )


def _context(e2e: Any, quoted: QuotedMessage) -> Any:
    return e2e.ContextInfo(
        stanzaID=quoted.message_id,
        participant=_without_device(quoted.sender),
        quotedMessage=e2e.Message(conversation=quoted.text),
    )


def _without_device(jid: str) -> str:
    user, at, server = jid.partition("@")
    return user.partition(":")[0] + at + server
