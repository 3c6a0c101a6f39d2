"""Converts a company's auth state to the files of a Baileys 7 directory. Pure: writes nothing.

Left behind and negotiated anew: keys of messages that had not arrived yet, what only whatsmeow keeps, and the chat
settings, which WhatsApp sends again whole.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

import msgspec

from config.json_text import read_json
from storage.baileys import sender_key as baileys_sender_key
from storage.baileys import session_export as baileys_session_export
from storage.baileys.addresses import LID_DOMAIN
from storage.baileys.directory import BaileysError, digest_of
from storage.baileys.names import CREDS_FILE, file_name, sender_key_id
from storage.baileys.report import Report
from storage.tables.auth_state import AuthState
from storage.whatsmeow.codec import CodecError, decode_buffer, encode_buffer, json_object
from storage.whatsmeow.creds import device_from_creds, key_pair
from storage.whatsmeow.rows import KINDS, REVERSE, key_parts

_INDEX: Final = "__index"
_KEPT_AS_IT_IS: Final = frozenset({"identity-key", "lid-mapping"})
_NOT_NEEDED: Final = {
    "app-state-sync-version": "chat settings are fetched anew, whole, with the keys that do move",
    "whatsmeow-contact": "names of contacts: Baileys keeps none",
    "whatsmeow-chat-settings": "chat settings: Baileys keeps none",
    "whatsmeow-nct-salt": "Baileys has no place for it",
}


@dataclass(frozen=True, slots=True)
class Export:
    """The files to write, and a report on every key."""

    files: dict[str, bytes]
    report: Report
    skipped_messages: int
    """Messages that had not arrived when their successors did. If they still come, Baileys asks for them again."""

    @property
    def digest(self) -> str:
        """Digest of the directory once it is written."""
        return digest_of(self.files.items())


def export_files(state: AuthState, now_ms: int) -> Export:
    """Convert everything stored of a company. `BaileysError` when it has no identity or a broken one."""
    if state.creds is None:
        raise BaileysError(f"company {state.company_id} has no credentials: there is nothing to export")
    converter = _Converter(now_ms)
    for key_type, key_id, value in sorted(state.keys):
        converter.add(key_type, key_id, value)
    try:
        converter.finish(state.creds)
    except (CodecError, msgspec.DecodeError) as error:
        raise BaileysError(f"the credentials of company {state.company_id} are broken: {error}") from None
    return Export(converter.files, converter.report, converter.skipped_messages)


@final
class _Converter:
    """Converts one key after another and collects the files."""

    def __init__(self, now_ms: int) -> None:
        self.files: dict[str, bytes] = {}
        self.report = Report(generation="v7")
        self.skipped_messages = 0
        self._now_ms = now_ms
        self._pre_keys: dict[int, bool] = {}
        self._tokens: list[str] = []
        self._newest_sync_key = ("", -1)
        self._numbers: dict[str, str] = {}
        self._group_keys: list[tuple[str, str, str, dict[str, str]]] = []
        self._take: dict[str, Callable[[str, Any], tuple[str, str, object]]] = {
            "pre-key": self._pre_key,
            "whatsmeow-session": self._session,
            "whatsmeow-sender-key": self._sender_key,
            "app-state-sync-key": self._sync_key,
            "tctoken": self._token,
        }

    def add(self, key_type: str, key_id: str, value: bytes) -> None:
        """Convert one key."""
        name = f"{key_type} {key_id}"
        if (why := _NOT_NEEDED.get(key_type)) is not None:
            self.report.leave(name, "not needed", why)
            return
        try:
            parsed = read_json(value)
            take = self._take.get(key_type)
            if take is not None:
                self._write(*take(key_id, parsed))
            elif key_type in _KEPT_AS_IT_IS:
                self._write(key_type, key_id, parsed)
                if key_id.endswith(REVERSE):
                    self._numbers[key_id.removesuffix(REVERSE)] = str(parsed)
            else:
                self.report.leave(name, "unknown", "Baileys has no such type")
        except (CodecError, msgspec.DecodeError, ValueError, TypeError, KeyError, AttributeError) as error:
            self.report.leave(name, "broken", str(error) if isinstance(error, CodecError) else "of another shape")

    def finish(self, creds: bytes) -> None:
        """Write what follows from all keys together: the index of tokens and ``creds.json``."""
        if self._tokens:
            index = {"token": encode_buffer(msgspec.json.encode(self._tokens))}
            self.files[file_name("tctoken", _INDEX)] = msgspec.json.encode(index)
        made = self._creds(creds)
        self._repeat_group_keys(str((json_object(made["me"]) or {}).get("lid")).partition(":")[0].partition("@")[0])
        self.files[CREDS_FILE] = msgspec.json.encode(made)
        self.report.moved["creds"] = 1
        self.report.files = len(self.files)

    def _repeat_group_keys(self, own_lid: str) -> None:
        """Write other people's sender keys under their phone numbers too.

        whatsmeow keeps them by LID, Baileys looks them up as the group calls people. Our own key stays out: used under two
        names, it would encrypt two messages with the same keys.
        """
        for group, user, device, value in self._group_keys:
            lid, _, domain = user.partition("_")
            number = self._numbers.get(lid)
            if domain == LID_DOMAIN and number is not None and lid != own_lid:
                name = file_name("sender-key", sender_key_id(group, number, device))
                self.files.setdefault(name, msgspec.json.encode(value))

    def _write(self, key_type: str, key_id: str, value: object) -> None:
        self.files[file_name(key_type, key_id)] = msgspec.json.encode(value)
        self.report.moved[key_type] += 1

    # --- one method for each type that changes ---

    def _pre_key(self, key_id: str, value: Any) -> tuple[str, str, object]:
        pair = key_pair(decode_buffer(value["private"]))
        self._pre_keys[int(key_id)] = bool(value.get("uploaded", True))
        return "pre-key", key_id, pair

    def _session(self, key_id: str, value: Any) -> tuple[str, str, object]:
        (address,) = _texts("whatsmeow-session", key_id)
        user, _, device = address.rpartition(":")
        session = baileys_session_export.to_baileys(decode_buffer(value), self._now_ms)
        self.skipped_messages += session.skipped_messages
        self.report.truncated += session.left_out
        return "session", f"{user}.{device}", session.value

    def _sender_key(self, key_id: str, value: Any) -> tuple[str, str, object]:
        group, sender = _texts("whatsmeow-sender-key", key_id)
        user, _, device = sender.rpartition(":")
        converted = baileys_sender_key.to_baileys(decode_buffer(value))
        self._group_keys.append((group, user, device, converted))
        return "sender-key", sender_key_id(group, user, device), converted

    def _sync_key(self, key_id: str, value: Any) -> tuple[str, str, object]:
        kept = {name: value[name] for name in ("keyData", "fingerprint", "timestamp")}
        timestamp = int(value["timestamp"])
        if timestamp > self._newest_sync_key[1]:
            self._newest_sync_key = (key_id, timestamp)
        return "app-state-sync-key", key_id, kept

    def _token(self, key_id: str, value: Any) -> tuple[str, str, object]:
        self._tokens.append(key_id)
        return "tctoken", key_id, value

    # --- creds.json ---

    def _creds(self, creds: bytes) -> dict[str, Any]:
        device_from_creds(creds)  # raises unless complete: then nothing is written
        found = json_object(read_json(creds)) or {}
        kept = {name: value for name, value in found.items() if name != "whatsmeow"}
        next_id = max(self._pre_keys, default=0) + 1
        waiting = [number for number, uploaded in self._pre_keys.items() if not uploaded]
        added: dict[str, Any] = {
            "pairingEphemeralKeyPair": key_pair(secrets.token_bytes(32)),
            "processedHistoryMessages": [],
            "nextPreKeyId": next_id,
            "firstUnuploadedPreKeyId": min(waiting, default=next_id),
            # Above 0: this is no new device, WhatsApp sends it no history.
            "accountSyncCounter": 1,
            "accountSettings": {"unarchiveChats": False},
        }
        if self._newest_sync_key[0]:
            added["myAppStateKeyId"] = self._newest_sync_key[0]
        return kept | added


def _texts(key_type: str, key_id: str) -> tuple[str, ...]:
    return tuple(str(part) for part in key_parts(KINDS[key_type], key_id))
