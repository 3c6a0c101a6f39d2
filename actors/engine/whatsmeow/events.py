"""The library's events, decoded from number and protobuf to plain objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from actors.engine.protocol.orders import MediaArrived
from actors.engine.whatsmeow import payloads
from actors.engine.whatsmeow.disconnects import REASON_CODES, Closing
from actors.engine.whatsmeow.media import media_of
from actors.engine.whatsmeow.message_secrets import SEALED_KINDS, Sealed, sealed_in
from actors.engine.whatsmeow.timers import Timer

SUBSCRIBED: Final = bytes((2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 17, 18, 22, 44))
"""The numbers of the events that the library is to deliver."""

_PAIRED: Final = 2


@dataclass(frozen=True, slots=True)
class PairSucceeded:
    platform: str


@dataclass(frozen=True, slots=True)
class LoggedIn:
    pass


@dataclass(frozen=True, slots=True)
class KeepAliveFailed:
    errors: int
    last_success: int
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class KeepAliveRestored:
    pass


@dataclass(frozen=True, slots=True)
class GroupTimerSet:
    """A group's timer has changed: its messages disappear after another time, or stay."""

    group: str
    timer: Timer


@dataclass(frozen=True, slots=True)
class Incoming:
    """An event for the event spool."""

    type: str
    payload: dict[str, Any]
    media: MediaArrived | None = None
    """The file that a message announces; the payload names it."""
    sealed: Sealed | None = None
    """The part that is encrypted under another message's secret; the payload says `undecryptable` until it is decrypted."""


Event = PairSucceeded | LoggedIn | KeepAliveFailed | KeepAliveRestored | GroupTimerSet | Closing | Incoming


def decode(protobufs: Any, number: int, data: bytes) -> Event | None:
    """Return the event; None for numbers not in `SUBSCRIBED` and for messages that are for devices alone."""
    match number:
        case 2:
            return _pair_status(_parse(protobufs.PairStatus, data))
        case 3:
            return LoggedIn()
        case 4:
            event = _parse(protobufs.KeepAliveTimeout, data)
            return KeepAliveFailed(int(event.ErrorCount), int(event.LastSuccess))
        case 5:
            return KeepAliveRestored()
        case 22:
            return _group_timer(_parse(protobufs.GroupInfoEvent, data))
        case 17 | 18 | 44:
            return _incoming(protobufs, number, data)
        case _:
            return _closing(protobufs, number, data)


def message_id(protobufs: Any, number: int, data: bytes) -> str | None:
    """Return the id of the incoming message that an event is about; None for other events."""
    match number:
        case 17:
            return str(_parse(protobufs.Message, data).Info.ID)
        case 44:
            return str(_parse(protobufs.UndecryptableMessage, data).Info.ID)
        case _:
            return None


def _closing(protobufs: Any, number: int, data: bytes) -> Closing | None:
    match number:
        case 6:
            event = _parse(protobufs.LoggedOut, data)
            return Closing("logged_out", REASON_CODES.get(event.Reason, 401), "WhatsApp logged this device out")
        case 7:
            return Closing("replaced", text="another client took over this session")
        case 8:
            event = _parse(protobufs.TemporaryBan, data)
            return Closing("temporary_ban", 402, f"temporarily banned (reason {100 + event.Code})", float(event.Expire))
        case 9:
            event = _parse(protobufs.ConnectFailure, data)
            return Closing(
                "connect_failure", REASON_CODES.get(event.Reason, 0), event.Message or "WhatsApp refused the connection"
            )
        case 10:
            return Closing("outdated", 405, "this WhatsApp client version is too old")
        case 11:
            event = _parse(protobufs.StreamError, data)
            return Closing(
                "stream_error", int(event.Code) if event.Code.isdecimal() else 0, "WhatsApp ended the stream"
            )
        case 12:
            return Closing("disconnected", text="the connection to WhatsApp was lost")
        case _:
            return None


def _pair_status(event: Any) -> Event:
    if event.Status == _PAIRED:
        return PairSucceeded(str(event.Platform))
    return Closing("pairing_failed", text=f"pairing failed: {event.Error}")


def _group_timer(event: Any) -> GroupTimerSet | None:
    """Return a change of a group's timer. Other changes of a group are ignored: groups are looked up when needed."""
    if not event.HasField("Ephemeral"):
        return None
    seconds = event.Ephemeral.DisappearingTimer if event.Ephemeral.IsEphemeral else 0
    return GroupTimerSet(payloads.jid_text(event.JID) or "", Timer(seconds, max(0, event.Timestamp)))


def _incoming(protobufs: Any, number: int, data: bytes) -> Incoming | None:
    if number == 17:
        return _message(_parse(protobufs.Message, data))
    if number == 18:
        return Incoming("receipt", payloads.receipt_payload(_parse(protobufs.Receipt, data)))
    return Incoming("undecryptable", payloads.undecryptable_payload(_parse(protobufs.UndecryptableMessage, data)))


def _message(event: Any) -> Incoming | None:
    payload = payloads.message_payload(event)
    if payload is None:
        return None
    media = media_of(event) if "media" in payload else None
    if media is not None:
        payload["media"]["id"] = media.media_id
    return Incoming("message", payload, media, sealed_in(event.Message) if payload["kind"] in SEALED_KINDS else None)


def _parse(kind: Any, data: bytes) -> Any:
    message = kind()
    message.ParseFromString(data)
    return message
