"""The child process of `peers.start_neonize`: a group of real neonize clients.

Run as ``python -m tests.loopback.peer_neonize PROXY_URL DIRECTORY``. Ends with its standard input.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import sqlite3
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from actors.engine.whatsmeow.client_map_lock import ClientMapLock
from tests.loopback.secret_content import sealed_message

_MAGIC: Final[Any] = import_module("pylibmagic")
"""Makes libmagic findable, which neonize imports: load it first."""
_EVENTS: Final[Any] = import_module("neonize.events")
_CLIENT: Final[Any] = import_module("neonize.client")
_NEONIZE: Final[Any] = import_module("neonize.proto.Neonize_pb2")
_E2E: Final[Any] = import_module("neonize.proto.waE2E.WAWebProtobufsE2E_pb2")
_JSON: Final[Any] = import_module("google.protobuf.json_format")
_MEDIA: Final[Any] = import_module("neonize.utils.enum").MediaType
_PRESENCE: Final[Any] = _NEONIZE.ChatPresence
_KEPT: Final = 200
"""Messages a process keeps for downloading what they describe."""
_SEEN_WITHIN_S: Final = 1.0
"""How long a new client holds up the others at most, when its server does not answer."""


def _jid(text: str) -> Any:
    user, at, server = text.partition("@")
    user, _, device = user.partition(":")
    server = server if at else "s.whatsapp.net"
    return _NEONIZE.JID(User=user, Server=server, Device=int(device or 0), RawAgent=0, Integrator=0, IsEmpty=False)


def to_jid(text: str) -> Any:
    """A phone number (digits) or full address as the library takes it."""
    return _jid(text)


def text_message(text: str) -> Any:
    """A text as the library takes it."""
    return _E2E.Message(conversation=text)


def _text(jid: Any) -> str:
    device = f":{jid.Device}" if jid.Device else ""
    return f"{jid.User}{device}@{jid.Server}" if jid.User else ""


def _source(source: Any) -> dict[str, object]:
    return {
        "chat": _text(source.Chat),
        "sender": _text(source.Sender),
        "sender_alt": _text(source.SenderAlt),
        "from_me": source.IsFromMe,
    }


def _message(event: Any) -> dict[str, object]:
    content = event.Message
    extended = content.extendedTextMessage
    quoted = extended.contextInfo.quotedMessage
    return {
        "id": event.Info.ID,
        "text": content.conversation or extended.text,
        "quoted_id": extended.contextInfo.stanzaID,
        "quoted_text": quoted.conversation or quoted.extendedTextMessage.text,
        "content": _JSON.MessageToDict(content),
    } | _source(event.Info.MessageSource)


def _receipt(event: Any) -> dict[str, object]:
    kind = _NEONIZE.Receipt.ReceiptType.Name(event.Type).lower()
    return {"ids": list(event.MessageIDs), "type": kind} | _source(event.MessageSource)


def _chat_state(event: Any) -> dict[str, object]:
    state = (
        "paused" if event.State == _PRESENCE.PAUSED else "recording" if event.Media == _PRESENCE.AUDIO else "composing"
    )
    return {"type": state} | _source(event.MessageSource)


def _call(event: Any, kind: str) -> dict[str, object]:
    meta = event.basicCallMeta
    reason = event.reason if kind == "terminate" else ""
    return {"id": meta.callID, "sender": _text(meta.callCreator), "type": kind, "reason": reason}


def _failure(event: Any) -> dict[str, object]:
    attrs = {attr.name: attr.text for attr in event.Raw.Attrs}
    return {"reason": "connect_failure", "code": int(attrs.get("reason", 0))}


_DESCRIPTIONS: Final[dict[str, tuple[str, Callable[[Any], dict[str, object]]]]] = {
    "PairStatusEv": ("paired", lambda event: {"jid": _text(event.ID), "reason": event.Error}),
    "ConnectedEv": ("connected", lambda _: {}),
    "MessageEv": ("message", _message),
    "CallOfferEv": ("call", lambda event: _call(event, "offer")),
    "CallTerminateEv": ("call", lambda event: _call(event, "terminate")),
    "ReceiptEv": ("receipt", _receipt),
    "ChatPresenceEv": ("chat_state", _chat_state),
    "UndecryptableMessageEv": (
        "undecryptable",
        lambda event: {"id": event.Info.ID} | _source(event.Info.MessageSource),
    ),
    "DisconnectedEv": ("closed", lambda _: {"reason": "disconnected"}),
    "StreamReplacedEv": ("closed", lambda _: {"reason": "replaced"}),
    "ClientOutdatedEv": ("closed", lambda _: {"reason": "outdated", "code": 405}),
    "LoggedOutEv": ("closed", lambda _: {"reason": "logged_out"}),
    "ConnectFailureEv": ("closed", _failure),
    "TemporaryBanEv": ("closed", lambda event: {"reason": "temporary_ban", "code": 402, "expires": event.Expire}),
    "StreamErrorEv": ("closed", lambda event: {"reason": "stream_error", "code": int(event.Code or 0)}),
}
"""neonize's events: our name for each, and its fields."""


def _make_file(path: Path) -> None:
    """Make linking several times faster than with whatsmeow's own choice of journal. Never on a file that Go has open:
    two copies of SQLite in one process do not see each other's locks.
    """
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")


_MAKERS: Final = ("open", "close")
"""Calls that make or stop a client; every other call only looks one up."""


class Group:
    """The clients of this process by name."""

    def __init__(self, proxy_url: str, directory: Path, out: int) -> None:
        self._proxy = _CLIENT.ProxySettings(proxy_url)
        self._directory = directory
        self._out = out
        self._writing = threading.Lock()
        self._gate = ClientMapLock()
        self._clients: dict[str, Any] = {}
        self._seen: dict[str, threading.Event] = {}
        self._closed: list[Any] = []
        self._messages: OrderedDict[str, Any] = OrderedDict()
        self._incarnations = itertools.count(1)

    def serve(self, request: dict[str, Any]) -> None:
        """Answer one request in a thread of its own: a send may wait for the server for long."""
        call: Callable[..., str | None] = getattr(self, f"call_{request['call']}")
        try:
            if request["call"] not in _MAKERS:
                self._gate.begin_call()
            answer: dict[str, object] = {"result": call(**request["args"]) or ""}
        except Exception as exc:  # noqa: BLE001 - every error goes to the caller
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        self._write({"id": request["id"]} | answer)

    def call_open(self, client: str) -> None:
        """Create the client and let a thread connect it."""
        path = self._directory / f"{client}.sqlite3"
        if not path.exists():
            _make_file(path)
        # A new name each time: when neonize collects an old client object, it stops the client that has the same name.
        new = _CLIENT.NewClient(str(path), uuid=f"{client}-{next(self._incarnations)}")

        def offer(_: object, code: bytes) -> None:
            self._emit("qr", client, qr=code.decode())

        new.qr(offer)
        for name in _DESCRIPTIONS:
            self._subscribe(client, new, name)
        self._clients[client] = new
        seen = self._seen[client] = threading.Event()
        with self._gate.making():
            threading.Thread(target=self._connect, args=(client, new), daemon=True).start()
            seen.wait(_SEEN_WITHIN_S)

    def _connect(self, client: str, new: Any) -> None:
        """Connect, which lasts as long as the client; neonize raises when it cannot even describe an event."""
        text = ""
        try:
            new.connect(self._proxy)
        except Exception as exc:  # noqa: BLE001 - otherwise only the thread's end would be seen
            text = str(exc)
        self._emit("closed", client, reason="end", text=text)

    def client(self, name: str) -> Any:
        """The client itself."""
        return self._clients[name]

    def call_close(self, client: str) -> None:
        """Stop the client."""
        closed = self._clients.pop(client)
        self._closed.append(closed)  # collected, it would be stopped again, past the gate
        with self._gate.making():
            closed.stop()

    def call_send(self, client: str, to: str, text: str, quoted: dict[str, str] | None) -> str:
        """Send text, as a reply when ``quoted`` is given."""
        content = _E2E.Message(conversation=text)
        if quoted:
            context = _E2E.ContextInfo(
                stanzaID=quoted["id"],
                participant=quoted["sender"],
                quotedMessage=_E2E.Message(conversation=quoted["text"]),
            )
            content = _E2E.Message(extendedTextMessage=_E2E.ExtendedTextMessage(text=text, contextInfo=context))
        return str(self._clients[client].send_message(_jid(to), content).ID)

    def call_send_content(self, client: str, to: str, content: dict[str, Any]) -> str:
        """Send any message, given as protobuf's JSON."""
        return str(self._clients[client].send_message(_jid(to), _JSON.ParseDict(content, _E2E.Message())).ID)

    def call_send_sealed(self, client: str, to: str, sealed: dict[str, Any]) -> str:
        """Send what is sealed under an earlier message's secret; `secret_content.sealed_message` has the fields."""
        return str(self._clients[client].send_message(_jid(to), sealed_message(**sealed)).ID)

    def call_decrypt_vote(self, client: str, id_: str) -> str:
        """The hashes (base64) of the options in a vote that arrived, decrypted by whatsmeow, separated by commas."""
        # neonize 0.5.2's decrypt_poll_vote raises TypeError: it does not read the pointer that its library answers with.
        known, event = self._clients[client], self._messages[id_].SerializeToString()
        answer = getattr(known, "_NewClient__client").DecryptPollVote(known.uuid, event, len(event))  # noqa: B009 - mangled
        told = _NEONIZE.ReturnFunctionWithError.FromString(answer.contents.get_bytes())
        if told.Error:
            raise RuntimeError(told.Error)
        vote = told.PollVoteMessage
        return ",".join(base64.b64encode(option).decode() for option in vote.selectedOptions)

    def call_reject_call(self, client: str, caller: str, call_id: str) -> None:
        """Reject a call."""
        self._clients[client].reject_call(_jid(caller), call_id)

    def call_upload(self, client: str, kind: str, data: str) -> str:
        """Upload a file (base64) as ``image``, ``video``, ``audio`` or ``document``; the fields for its message, as JSON."""
        raw = base64.b64decode(data)
        done = self._clients[client].upload(raw, getattr(_MEDIA, f"Media{kind.capitalize()}"))
        bytes_ = {"mediaKey": done.MediaKey, "fileEncSHA256": done.FileEncSHA256, "fileSHA256": done.FileSHA256}
        fields = {name: base64.b64encode(value).decode() for name, value in bytes_.items()}
        return json.dumps(fields | {"URL": done.url, "directPath": done.DirectPath, "fileLength": str(len(raw))})

    def call_download(self, client: str, id_: str) -> str:
        """The file of a message that arrived, as base64."""
        return base64.b64encode(self._clients[client].download_any(self._messages[id_].Message)).decode()

    def call_vote(self, client: str, to: str, id_: str, options: list[str]) -> str:
        """Vote in a poll that arrived."""
        vote = self._clients[client].build_poll_vote(self._messages[id_].Info, options)
        return str(self._clients[client].send_message(_jid(to), vote).ID)

    def call_pairing_code(self, client: str, phone: str) -> str:
        """Ask for a pairing code."""
        return str(self._clients[client].PairPhone(phone, show_push_notification=True))

    def call_logout(self, client: str) -> None:
        """Unlink the device."""
        self._clients[client].logout()

    def _subscribe(self, client: str, new: Any, name: str) -> None:
        kind, describe = _DESCRIPTIONS[name]

        def tell(_: object, event: Any) -> None:
            if kind == "message":
                self._keep(event.Info.ID, event)
            self._emit(kind, client, **describe(event))

        new.event(getattr(_EVENTS, name))(tell)

    def _keep(self, id_: str, event: Any) -> None:
        self._messages[id_] = event
        if len(self._messages) > _KEPT:
            self._messages.popitem(last=False)

    def _emit(self, event: str, client: str, **fields: object) -> None:
        self._seen[client].set()
        self._write({"event": event, "client": client} | fields)

    def _write(self, line: dict[str, object]) -> None:
        with self._writing:
            os.write(self._out, json.dumps(line).encode() + b"\n")


def main() -> None:
    """Serve requests until standard input ends."""
    out = os.dup(1)
    os.dup2(2, 1)  # neonize prints to standard output, which must stay clean for answers
    group = Group(sys.argv[1], Path(sys.argv[2]), out)
    for line in sys.stdin:
        threading.Thread(target=group.serve, args=(json.loads(line),), daemon=True).start()
    os._exit(0)


if __name__ == "__main__":
    main()
