"""The messages between the daemon and an engine process.

One trio-websocket over the engine's Unix socket per company, resource ``/company/<companyId>``; one more, ``/control``, for the
EngineActor. Every frame is one MessagePack-encoded message of this module. The daemon speaks first on a company connection: `Open`.
Closing a company connection, for whatever reason, closes that company's WhatsApp client; losing ``/control`` ends the engine process.

Calls carry a ``call`` number chosen by the daemon; the engine answers each with exactly one message that repeats it.
"""

from __future__ import annotations

from typing import Final, Literal, TypeVar

import msgspec

from actors.engine.protocol.contents import AnyContent
from actors.engine.protocol.orders import (
    CheckNumber as CheckNumber,
)
from actors.engine.protocol.orders import (
    Download as Download,
)
from actors.engine.protocol.orders import (
    GetGroup as GetGroup,
)
from actors.engine.protocol.orders import (
    GroupDescription as GroupDescription,
)
from actors.engine.protocol.orders import (
    GroupMember as GroupMember,
)
from actors.engine.protocol.orders import (
    Groups as Groups,
)
from actors.engine.protocol.orders import (
    ListGroups as ListGroups,
)
from actors.engine.protocol.orders import (
    MarkRead as MarkRead,
)
from actors.engine.protocol.orders import (
    MediaArrived as MediaArrived,
)
from actors.engine.protocol.orders import (
    NumberChecked as NumberChecked,
)
from actors.engine.protocol.orders import (
    SetTyping as SetTyping,
)
from actors.engine.protocol.orders import (
    TypingState as TypingState,
)
from actors.engine.protocol.orders import (
    Upload as Upload,
)
from actors.engine.protocol.orders import (
    Uploaded as Uploaded,
)
from actors.engine.protocol.wire import Message as Message
from actors.linker.protocol import AnswerPasskey as AnswerPasskey
from actors.linker.protocol import ConfirmPasskey as ConfirmPasskey
from actors.linker.protocol import HandedOver as HandedOver
from actors.linker.protocol import PasskeyCode as PasskeyCode
from actors.linker.protocol import PasskeyFailed as PasskeyFailed
from actors.linker.protocol import PasskeyWanted as PasskeyWanted

MAX_FRAME_BYTES: int = 16 * 1024 * 1024
"""Larger frames end the connection. A whole auth state (1,313 keys) is about 0.6 MB."""
MAX_CONTROL_BYTES: int = 1024 * 1024
"""The same limit on /control, where the longest message names 1,000 companies in 65 KB."""


class KeyRow(msgspec.Struct, frozen=True, array_like=True):
    """One auth-state key: its type and id as in `whatsapp_keys`, its value as JSON bytes (None: the key is gone)."""

    key_type: str
    key_id: str
    value: bytes | None


# --- daemon -> engine, company connection -----------------------------------------------------------------------------


class Open(Message, frozen=True, tag=True):
    """Take up this company. The engine answers `NeedAuthState` (file missing, foreign, behind or ahead) or `Opened`."""

    company_id: str
    file_id: str | None
    """The device file that Postgres knows; None when it knows none."""
    position: int
    """The journal position committed in Postgres for that file."""
    proxy: str | None = None
    """``http://host:port`` or ``socks5://host:port`` for this company's WhatsApp traffic."""
    device_name: str = "wasup"
    discard_file: bool = False
    """An operator's `initialize` after a logout: discard the contents of the file."""
    lease_until: float | None = None
    """The lease deadline on the machine's monotonic clock; `LeaseExtended` moves it. None: for ever."""


class LeaseExtended(Message, frozen=True, tag=True):
    """Move the lease deadline to ``until`` on the machine's monotonic clock. When the deadline passes, the engine leaves WhatsApp and ends
    the connection by itself, since a stopped daemon cannot order it to."""

    until: float


class AuthStateChunk(Message, frozen=True, tag=True):
    """The auth state in answer to `NeedAuthState`; ``last`` on the final chunk. An unlinked company has no creds in any chunk."""

    creds: bytes | None
    keys: tuple[KeyRow, ...]
    last: bool


class Connect(Message, frozen=True, tag=True):
    """Log in with the stored device, or (no device) start offering QR codes. Answered with `Done` once the attempt is under way."""

    call: int


class RequestPairingCode(Message, frozen=True, tag=True):
    """Ask for a pairing code for ``phone`` (digits only). Answered with `PairingCode`. Wait for the first `Qr` of a `Connect`."""

    call: int
    phone: str


class SendText(Message, frozen=True, tag=True):
    """Send text. Answered with `Sent` after the journal entries it caused were shipped in deltas up to ``Sent.position``."""

    call: int
    to: str
    """A full JID."""
    text: str
    quoted: QuotedMessage | None = None
    timeout_s: float = 45.0
    """After this time the answer is `Failed` with code `timeout`; the message may still be sent."""
    mentions: tuple[str, ...] = ()
    """Full JIDs of the accounts mentioned in the text."""
    expiration: int | None = None
    """Seconds until the message disappears; 0: never; None: as the chat's timer says."""


class SendContent(Message, frozen=True, tag=True):
    """Send any other content; otherwise as `SendText`. `Failed` with `no_such_message` when an unknown message is to be edited."""

    call: int
    to: str
    content: AnyContent
    quoted: QuotedMessage | None = None
    timeout_s: float = 45.0
    mentions: tuple[str, ...] = ()
    expiration: int | None = None


class QuotedMessage(msgspec.Struct, frozen=True):
    """The message a reply refers to."""

    message_id: str
    sender: str
    """Full JID of its author."""
    text: str = ""


class Ping(Message, frozen=True, tag=True):
    """Make a real round trip to WhatsApp. Answered with `Done` or `Failed`."""

    call: int
    timeout_s: float = 10.0


class Logout(Message, frozen=True, tag=True):
    """Unlink this device at WhatsApp. Answered with `Done` or `Failed`."""

    call: int


class Disconnect(Message, frozen=True, tag=True):
    """Leave WhatsApp, stop the client, ship the rest; answered with `Done`. The connection stays open for a later `Connect`."""

    call: int


class Committed(Message, frozen=True, tag=True):
    """Everything up to ``position`` is in Postgres: the engine may cut its journal and event spool there."""

    position: int


class EventsStored(Message, frozen=True, tag=True):
    """Events up to event spool number ``number`` are in the daemon's event log: the engine may cut its event spool there."""

    number: int


# --- engine -> daemon, company connection -----------------------------------------------------------------------------


class NeedAuthState(Message, frozen=True, tag=True):
    """The engine must rebuild the device file, or (``ahead``) compare it with the record; send `AuthStateChunk`s."""

    reason: Literal["missing", "foreign", "behind", "ahead", "discarded", "damaged"]


class Opened(Message, frozen=True, tag=True):
    """The device file is ready."""

    file_id: str
    rebuilt: bool
    """True: a new file; the next delta carries ``base``."""
    position: int
    """Last position in its journal; the tail above the committed one follows in `JournalDelta`s at once."""
    jid: str | None
    """The linked device's JID, None when not linked."""
    lid: str | None


class OpenRefused(Message, frozen=True, tag=True):
    """The company cannot be opened here; the engine closes the connection after this.

    ``code``: `engine_full`, `already_open`, `unknown_schema`, `bad_auth_state`, `storage_full` (the file system takes no writes; also
    sent when that ends a connection later), `device_unusable`.
    """

    code: str
    text: str


class JournalDelta(Message, frozen=True, tag=True):
    """Present values of the keys that changed up to ``position``. Commit deltas in the order they come."""

    position: int
    creds: bytes | None
    keys: tuple[KeyRow, ...]
    base: bool = False
    """First delta of a file the engine just made."""


class Done(Message, frozen=True, tag=True):
    call: int


class Failed(Message, frozen=True, tag=True):
    """A call failed.

    ``code``: `not_connected`, `not_linked`, `already_linked`, `timeout`, `no_such_recipient`, `not_in_group`, `no_such_group`,
    `no_such_message`, `upload_failed`, `media_gone`, `download_failed`, `rejected`, `storage_full`, `engine_error`; when linking also
    `no_passkey_wanted`, `invalid_passkey_response`, `passkey_rejected`.
    """

    call: int
    code: str
    text: str


class Sent(Message, frozen=True, tag=True):
    call: int
    message_id: str
    timestamp: float
    """Unix seconds, WhatsApp's."""
    position: int
    """Journal position that must be committed before the send counts as durable; an earlier one when the message's key was reserved."""


class PairingCode(Message, frozen=True, tag=True):
    call: int
    code: str
    """``ABCD-1234`` as the phone asks for it."""


class Qr(Message, frozen=True, tag=True):
    """QR codes to show one after another. The library hands them out one at a time: a later `Qr` replaces the one before."""

    codes: tuple[str, ...]
    """The text of each code."""
    valid_s: float = 60.0
    """How long the first of ``codes`` is valid from now; further ones 20 s each."""


class Paired(Message, frozen=True, tag=True):
    """The phone accepted this device. Announce it only after ``position`` is committed."""

    jid: str
    lid: str | None
    platform: str
    position: int


class Connected(Message, frozen=True, tag=True):
    """Logged in and ready."""

    jid: str
    lid: str | None
    push_name: str = ""


class Closed(Message, frozen=True, tag=True):
    """The WhatsApp connection ended or was refused. The company actor decides what follows (actors/company/disconnect_policy.py)."""

    kind: Literal[
        "disconnected",
        "stream_error",
        "connect_failure",
        "logged_out",
        "replaced",
        "temporary_ban",
        "outdated",
        "pairing_failed",
        "storage_full",
    ]
    code: int = 0
    """WhatsApp's code: 401, 402, 403, 405, 406, 409, 411, 413, 414, 415, 500, 501, 503, 515 …; 0 when it gave none."""
    text: str = ""
    expires_in_s: float | None = None
    """The length of a temporary_ban. For storage_full, which does not come from WhatsApp, ``text`` is the reason in words."""


class KeepAlive(Message, frozen=True, tag=True):
    """whatsmeow's own keep-alive began to fail (``ok`` false, ``errors`` in a row) or works again."""

    ok: bool
    errors: int = 0


class OutboxEvent(Message, frozen=True, tag=True):
    """An event for applications, kept in the engine's event spool until `EventsStored`: WhatsApp will not send it again."""

    number: int
    type: str
    """`message`, `receipt`, `undecryptable`, or `media`, which comes before the message it belongs to and is for the daemon
    alone (`MediaArrived`).
    """
    payload: bytes
    """A JSON object, exactly the event payload of spec.md."""
    position: int
    """The journal position after the event's ratchet step: commit that first."""


# --- /control ---------------------------------------------------------------------------------------------------------


class EngineHello(Message, frozen=True, tag=True):
    """First message of the engine on /control."""

    pid: int
    neonize: str
    whatsapp_version: str = ""
    """The version its clients announce to WhatsApp, like ``2.3000.1047769893``; empty when the library does not say."""
    version_fault: str = ""
    """Why that is not the version the engine was started with; empty when it is."""


class EngineStatisticsRequest(Message, frozen=True, tag=True):
    call: int


class EngineStatistics(Message, frozen=True, tag=True):
    call: int
    companies: tuple[str, ...]
    rss_bytes: int
    threads: int
    stale_clients: int = 0
    """Clients ended since the start. The library keeps their database handles until the process ends: 0.2 MB and 2 descriptors each."""
    stuck_clients: int = 0
    """How many of those never returned from the library; each holds a thread."""
    descriptors: int = 0
    """Open file descriptors of the process."""
    descriptor_limit: int = 0
    """The most descriptors it may have; 0: no known limit."""


class EngineShutdown(Message, frozen=True, tag=True):
    """Close every client, ship what can be shipped, exit 0."""


ToEngine = (
    Open | AuthStateChunk | Connect | RequestPairingCode | SendText | SendContent | Upload | Download | CheckNumber | ListGroups | GetGroup
    | MarkRead | SetTyping | Ping | Logout | Disconnect | Committed | EventsStored | LeaseExtended | EngineStatisticsRequest
    | EngineShutdown | AnswerPasskey | ConfirmPasskey
)  # fmt: skip
FromEngine = (
    NeedAuthState | Opened | OpenRefused | JournalDelta | Done | Failed | Sent | Uploaded | NumberChecked | Groups | PairingCode
    | Qr | Paired | Connected | Closed | KeepAlive | OutboxEvent | EngineHello | EngineStatistics
    | PasskeyWanted | PasskeyCode | PasskeyFailed | HandedOver
)  # fmt: skip

T = TypeVar("T")

# msgspec's plain function analyses a union of this size anew at each call, which takes a hundred times as long as decoding a frame.
_TO_ENGINE: Final[msgspec.msgpack.Decoder[ToEngine]] = msgspec.msgpack.Decoder(ToEngine)
_FROM_ENGINE: Final[msgspec.msgpack.Decoder[FromEngine]] = msgspec.msgpack.Decoder(FromEngine)


def encode(message: Message) -> bytes:
    """Return the message as one frame."""
    return msgspec.msgpack.encode(message)


def decode_to_engine(frame: bytes) -> ToEngine:
    """Read one frame. Raise msgspec.ValidationError or msgspec.DecodeError when it is not a `ToEngine` message."""
    return _decoded(_TO_ENGINE, frame)


def decode_from_engine(frame: bytes) -> FromEngine:
    """Read one frame. Raise msgspec.ValidationError or msgspec.DecodeError when it is not a `FromEngine` message."""
    return _decoded(_FROM_ENGINE, frame)


def _decoded(decoder: msgspec.msgpack.Decoder[T], frame: bytes) -> T:
    try:
        return decoder.decode(frame)
    except RecursionError:  # msgspec skips unknown content by recursion
        raise msgspec.DecodeError("it nests too deep to be read") from None
