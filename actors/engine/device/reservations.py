"""Stores keys of a session's sending chain in Postgres before they are needed, so that most messages leave without waiting for it.

If this machine is lost, the record must never continue from a key that was used already. So the record gets each session with its sending
chain some steps ahead of the device file's, as Postgres logs a sequence some numbers ahead: until the file's chain gets there, its steps
change nothing in the record. A file that is made from the record continues after every key that can have been used; the few keys in
between are never used, which recipients tolerate (they keep the keys of up to 2,000 messages that have not come).
docs/adr/0021-keys-reserved-ahead.md has the cases and the measurements.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, final

import msgspec

from actors.engine.device.journal import Batch, Change
from actors.engine.device.sqlite import Connection
from config.json_text import read_json
from storage.whatsmeow.codec import CodecError, decode_buffer, encode_buffer

AHEAD: Final = 32
"""Steps ahead, as many as Postgres logs of a sequence. More would save little, and make recipients keep more keys after each restore."""

KEPT: Final = 512
"""The most sessions of one company whose reservation is remembered; a forgotten one costs one delta."""

SESSION: Final = "whatsmeow-session"

_NEXT: Final = b"\x02"
"""The constant from which the Signal protocol derives the next chain key."""


class ChainKey(msgspec.Struct, frozen=True):
    """A chain key, from which the next message's key is derived."""

    Key: bytes
    Index: int

    def ahead(self, steps: int) -> ChainKey:
        key = self.Key
        for _ in range(steps):
            key = hmac.digest(key, _NEXT, "sha256")
        return ChainKey(key, self.Index + steps)


@dataclass(frozen=True, slots=True)
class Reservation:
    """The reservation that the record holds, or is about to hold, for one session."""

    chain: bytes
    """The sending chain's public ratchet key."""
    index: int
    """The index of the device file's sending chain; the record's is `AHEAD` steps further."""
    rest: bytes
    """A digest of everything but the sending chain's key."""

    def covers(self, wanted: Reservation) -> bool:
        """Whether every step from this reservation to ``wanted`` is reserved by this one."""
        return (self.chain, self.rest) == (wanted.chain, wanted.rest) and wanted.index <= self.index + AHEAD


@final
class _Session:
    """A session record of the library's, parsed down to the key of its sending chain."""

    def __init__(self, record: bytes) -> None:
        """Parse ``record``. Raise `msgspec.MsgspecError` or KeyError when it has no sending chain."""
        self._record = read_json(record, dict[str, msgspec.Raw])
        self._state = read_json(self._record["SessionState"], dict[str, msgspec.Raw])
        self._sending = read_json(self._state["SenderChain"], dict[str, msgspec.Raw])
        self.chain = bytes(self._sending["SenderRatchetKeyPublic"])
        self.key = read_json(self._sending["ChainKey"], ChainKey)

    def ahead(self) -> bytes:
        """Return the record with its sending chain `AHEAD` steps further."""
        return self.with_key(self.key.ahead(AHEAD))

    def with_key(self, key: ChainKey | None) -> bytes:
        """Return the record with another key of the sending chain."""
        sending = {**self._sending, "ChainKey": key}
        return msgspec.json.encode({**self._record, "SessionState": {**self._state, "SenderChain": sending}})

    def reservation(self) -> Reservation:
        rest = hashlib.blake2b(self.with_key(None), digest_size=16).digest()
        return Reservation(self.chain, self.key.Index, rest)


def _take_apart(record: bytes) -> _Session | None:
    try:
        return _Session(record)
    except (msgspec.MsgspecError, KeyError):
        return None


@final
class Reservations:
    """The reservations of one device file. `reserve` may be called on any thread, `note` on one only."""

    def __init__(self, *, kept: int = KEPT) -> None:
        self._kept = kept
        self._known: OrderedDict[str, Reservation] = OrderedDict()

    def reserve(self, batch: Batch) -> dict[str, Reservation]:
        """Step each session of the batch ahead; remove those reserved already. Give the result to `note` when the batch is sent."""
        reserved: dict[str, Reservation] = {}
        batch.changes = [kept for change in batch.changes if (kept := self._put_ahead(change, reserved)) is not None]
        return reserved

    def note(self, reserved: dict[str, Reservation]) -> None:
        """Remember reservations that the record has, or is about to have."""
        for key_id, reservation in reserved.items():
            self._known[key_id] = reservation
            self._known.move_to_end(key_id)
        while len(self._known) > self._kept:
            self._known.popitem(last=False)

    def _put_ahead(self, change: Change, reserved: dict[str, Reservation]) -> Change | None:
        key_type, key_id, value = change
        session = _session_in(value) if key_type == SESSION and value is not None else None
        if session is None:
            return change
        wanted, known = session.reservation(), self._known.get(key_id)
        if known is not None and known.covers(wanted):
            return None
        reserved[key_id] = wanted
        return key_type, key_id, msgspec.json.encode(encode_buffer(session.ahead()))


def _session_in(value: bytes) -> _Session | None:
    try:
        return _take_apart(decode_buffer(read_json(value)))
    except (CodecError, msgspec.MsgspecError):
        return None


def step_ahead(connection: Connection) -> None:
    """Step every session of a file ahead of all keys that can have been used without the file's knowledge.

    SQLite's write-ahead log is not flushed with every commit: after a power failure the file may be in an earlier state.
    """
    with connection.transaction():
        for our_jid, their_id, record in connection.execute(
            "SELECT our_jid, their_id, session FROM whatsmeow_sessions"
        ):
            session = _take_apart(record) if isinstance(record, bytes) else None
            if session is not None:
                connection.execute(
                    "UPDATE whatsmeow_sessions SET session = ? WHERE our_jid = ? AND their_id = ?",
                    (session.ahead(), our_jid, their_id),
                )
