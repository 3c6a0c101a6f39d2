"""Messages that hold something sealed, as a neonize client sends them; in the process of `peer_neonize` only."""

from __future__ import annotations

import base64
import time
from importlib import import_module
from typing import Any, Final, cast

from tests.loopback.message_secrets import Kind, Original, seal

_E2E: Final[Any] = import_module("neonize.proto.waE2E.WAWebProtobufsE2E_pb2")
_JSON: Final[Any] = import_module("google.protobuf.json_format")
_PLAIN: Final = {"vote": "PollVoteMessage", "reaction": "ReactionMessage", "event_response": "EventResponseMessage"}
"""The protobuf that is sealed; of the other kinds it is a whole Message."""


def sealed_message(
    kind: Kind, key: dict[str, Any], original: dict[str, str], sender: str, content: dict[str, Any]
) -> Any:
    """The message to send. ``key``: the MessageKey of the original; ``original``: id, sender and secret (base64) of it;
    ``content``: what is sealed, as protobuf's JSON.
    """
    inner = _JSON.ParseDict(content, getattr(_E2E, _PLAIN.get(kind, "Message"))())
    target = Original(original["id"], original["sender"], base64.b64decode(original["secret"]))
    payload, iv = seal(kind, target, sender, cast("bytes", inner.SerializeToString()))
    sealed = {"encPayload": base64.b64encode(payload).decode(), "encIV": base64.b64encode(iv).decode()}
    return _JSON.ParseDict(_around(kind, key, sealed), _E2E.Message())


def _around(kind: Kind, key: dict[str, Any], sealed: dict[str, str]) -> dict[str, Any]:
    match kind:
        case "edit" | "event_edit":
            secret_type = "MESSAGE_EDIT" if kind == "edit" else "EVENT_EDIT"
            return {"secretEncryptedMessage": {"targetMessageKey": key, "secretEncType": secret_type, **sealed}}
        case "reaction":
            return {"encReactionMessage": {"targetMessageKey": key, **sealed}}
        case "comment":
            return {"encCommentMessage": {"targetMessageKey": key, **sealed}}
        case "event_response":
            return {"encEventResponseMessage": {"eventCreationMessageKey": key, **sealed}}
        case "vote":
            now = str(int(time.time() * 1000))
            return {"pollUpdateMessage": {"pollCreationMessageKey": key, "vote": sealed, "senderTimestampMS": now}}
