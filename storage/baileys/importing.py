"""Converts a Baileys directory to the auth state of a company. Pure: writes nothing, and the same directory gives the same result.

Unusable entries are left out and reported: a retry receipt restores a missing session. Only the identity must be
complete.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

import msgspec

from config.json_text import read_json
from storage.baileys import sender_key as baileys_sender_key
from storage.baileys import session as baileys_session
from storage.baileys.addresses import LID_DOMAIN, Addresses
from storage.baileys.curve import require_pair, secret, typed_public
from storage.baileys.directory import BaileysError, Progress, Source, SourceFile
from storage.baileys.identity import Identity, read_identity
from storage.baileys.lids import LidMappings
from storage.baileys.names import CREDS_FILE, parse_name
from storage.baileys.report import Report
from storage.tables.auth_state import KeyChange
from storage.whatsmeow.codec import CodecError
from storage.whatsmeow.rows import KINDS, Values, encode_value, key_id, key_parts, rows_of, session_fault

LID_TTL_S: Final = 7 * 86_400.0
"""LID mappings whose file is older than this are left behind."""

_NOT_NEEDED: Final = {
    "sender-key-memory": "who has the own sender keys: they are handed out again",
    "device-list": "other people's devices: asked for again",
    "app-state-sync-version": "chat settings are fetched anew, whole, with the keys that do move",
}
_V7_TYPES: Final = frozenset({"lid-mapping", "device-list", "tctoken", "identity-key"})
_INDEX: Final = "__index"
_MAX_PRE_KEY_ID: Final = (1 << 24) - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What to store for a company."""

    identity: Identity
    changes: tuple[KeyChange, ...]
    report: Report
    digest: str
    """Digest of the directory it was made from."""


def plan_import(source: Source, now_s: float, progress: Progress = lambda _done, _of: None) -> Plan:
    """Convert everything in the directory. `BaileysError` when its ``creds.json`` is missing, torn or not linked."""
    creds = source.find(CREDS_FILE)
    if creds is None:
        why = dict(source.unreadable).get(CREDS_FILE, "it is not there")
        raise BaileysError(f"{source.creds_at} cannot be read: {why}; without it there is no identity to move")
    try:
        identity = read_identity(creds.data)
    except CodecError as error:
        raise BaileysError(f"{source.creds_at} cannot be used: {error}; restore it from a backup") from None
    converter = _Converter(source, identity, now_s)
    converter.run(progress)
    return Plan(identity, converter.changes(), converter.report, source.digest)


@final
class _Converter:
    """Converts one file after another and collects the keys."""

    def __init__(self, source: Source, identity: Identity, now_s: float) -> None:
        self._source = source
        self._identity = identity
        self._named = [(file, name) for file in source.files if (name := parse_name(file.name)) is not None]
        is_v7 = any(kind in _V7_TYPES or (kind == "session" and "_" in key) for _, (kind, key) in self._named)
        self.report = Report(generation="v7" if is_v7 else "v6", files=len(source.files))
        self.report.moved["creds"] = 1
        self.report.warnings += identity.warnings
        self._lids = LidMappings(self.report, oldest_s=now_s - LID_TTL_S)
        self._values: dict[tuple[str, str], bytes] = {}
        self._identities: dict[str, bytes] = {}
        self._addresses = Addresses(is_v7=False, lids=(), numbers=())
        self._take: dict[str, Callable[[SourceFile, str, Any], None]] = {
            "pre-key": self._pre_key,
            "session": self._session,
            "sender-key": self._sender_key,
            "app-state-sync-key": self._sync_key,
            "tctoken": self._token,
            "identity-key": self._identity_key,
        }

    def run(self, progress: Progress) -> None:
        """Convert every file; LID mappings first, because reading addresses needs them."""
        for name, why in self._source.unreadable:
            self.report.leave(name, "unreadable", why)
        for name in self._source.expired:
            self.report.leave(name, "expired", "its time in its own store was over")
        known = {file.name for file, _ in self._named} | {CREDS_FILE}
        for file in self._source.files:
            if file.name not in known:
                self.report.leave(file.name, "unknown", "not a name that Baileys gives")
        self._read_lids()
        # Identity keys last: the one in a file is newer than the one that a session began with.
        self._named.sort(key=lambda one: one[1][0] == "identity-key")
        for number, (file, (kind, key)) in enumerate(self._named, 1):
            self._one(file, kind, key)
            progress(number, len(self._named))
        self._finish()

    def changes(self) -> tuple[KeyChange, ...]:
        """Return all keys to store, in a fixed order."""
        return tuple(KeyChange(kind, key, value) for (kind, key), value in sorted(self._values.items()))

    def _read_lids(self) -> None:
        for file, (kind, key) in self._named:
            if kind == "lid-mapping":
                self._lids.add(file, key)
        me = self._identity
        self._addresses = Addresses(
            is_v7=self.report.generation == "v7",
            lids=self._lids.lid_users() | ({me.lid_user} if me.lid_user else set()),
            numbers=self._lids.pn_users() | {me.user},
        )
        self._values |= self._lids.values()

    def _one(self, file: SourceFile, kind: str, key: str) -> None:
        if (why := _NOT_NEEDED.get(kind)) is not None:
            self.report.leave(file.name, "not needed", why)
            return
        take = self._take.get(kind)
        if take is None:  # LID mappings are done
            return
        try:
            take(file, key, read_json(file.data))
        except msgspec.DecodeError:
            self.report.leave(file.name, "broken", "it is not JSON: empty, torn or overwritten")
        except (CodecError, ValueError, TypeError, KeyError, AttributeError) as error:
            self.report.leave(file.name, "broken", str(error) if isinstance(error, CodecError) else "of another shape")

    # --- one method for each type ---

    def _pre_key(self, _file: SourceFile, key: str, value: Any) -> None:
        number = int(key)
        if not 1 <= number <= _MAX_PRE_KEY_ID:
            raise CodecError(f"a pre-key's number is from 1 to {_MAX_PRE_KEY_ID}")
        private = secret(value["private"], "private")
        require_pair(typed_public(value["public"], "public"), private, "pre-key")
        self._put("pre-key", (number,), (private, int(number < self._identity.first_not_uploaded)))

    def _session(self, file: SourceFile, key: str, value: Any) -> None:
        user, dot, device = key.rpartition(".")
        address = f"{self._user(file, user)}{':' if dot else ''}{device}"
        session = baileys_session.from_baileys(value, self._identity.own)
        if (invalid_reason := session_fault(session.record)) is not None:
            raise CodecError(invalid_reason)
        self._put("whatsmeow-session", (address,), (session.record,), counts_as="session")
        self._identities[address] = session.identity[1:]
        self.report.truncated += session.left_out

    def _sender_key(self, file: SourceFile, key: str, value: Any) -> None:
        group, user, device = key.split("::")
        sender = f"{self._user(file, user)}:{device}"
        converted = baileys_sender_key.from_baileys(value)
        self._put("whatsmeow-sender-key", (group, sender), (converted.record,), counts_as="sender-key")
        self.report.truncated += converted.left_out

    def _sync_key(self, _file: SourceFile, key: str, value: Any) -> None:
        kind = KINDS["app-state-sync-key"]
        values = kind.decode(value)
        if not isinstance(values[0], bytes) or len(values[0]) != 32:
            raise CodecError("keyData: 32 bytes were expected")
        self._put(kind.key_type, key_parts(kind, key), values)

    def _token(self, file: SourceFile, key: str, value: Any) -> None:
        if key == _INDEX:
            self.report.leave(file.name, "not needed", "Baileys' list of its own tokens")
            return
        values = KINDS["tctoken"].decode(value)
        if not values[0]:
            self.report.leave(file.name, "not needed", "a token that was used up")
            return
        self._put("tctoken", (key,), values)

    def _identity_key(self, file: SourceFile, key: str, value: Any) -> None:
        user, _, device = key.rpartition(".")
        self._identities[f"{self._user(file, user)}:{device}"] = typed_public(value, "identity key")[1:]

    # --- what follows from the files together ---

    def _finish(self) -> None:
        me = self._identity
        phone = f"{me.lid_user}_{LID_DOMAIN}:0" if me.lid_user else f"{me.user}:0"
        self._identities.setdefault(phone, me.account_key)
        for address, key in sorted(self._identities.items()):
            self._put("identity-key", (address,), (key,))
        self._fill_up_pre_keys()

    def _fill_up_pre_keys(self) -> None:
        """Keep whatsmeow, which counts on from its highest pre-key, from reusing a number: if the highest was used
        up, store a filler there."""
        highest = max((int(key) for kind, key in self._values if kind == "pre-key"), default=0)
        last = self._identity.next_pre_key_id - 1
        if highest < last <= _MAX_PRE_KEY_ID:
            seed = hashlib.sha256(self._identity.own.identity + self._source.digest.encode()).digest()
            self._values["pre-key", str(last)] = encode_value(KINDS["pre-key"], (seed, 1))

    def _user(self, file: SourceFile, user: str) -> str:
        resolved, kind, guessed = self._addresses.resolve(user)
        if guessed is not None:
            self.report.guess(file.name, kind, guessed)
        return resolved

    def _put(self, key_type: str, parts: Values, values: Values, *, counts_as: str | None = None) -> None:
        kind = KINDS[key_type]
        name, value = key_id(kind, parts), encode_value(kind, values)
        rows_of(self._identity.jid, key_type, name, value)  # check with the conversion that builds the device file
        self._values[key_type, name] = value
        self.report.moved[counts_as or key_type] += 1
