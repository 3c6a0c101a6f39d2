"""The library's calls for files, numbers, groups, receipts and typing. The rules of actors/engine/whatsmeow/library.py apply."""

from __future__ import annotations

import time
from typing import Any, Final, Protocol

from actors.engine.protocol.contents import MediaKind, StoredFile
from actors.engine.protocol.orders import TypingState
from actors.engine.whatsmeow.bindings import Bindings, raise_error

_KINDS: Final = {"image": 0, "sticker": 0, "video": 1, "audio": 2, "document": 3}
"""The library's numbers for the kinds of files; it treats stickers as images."""
_MMS: Final = {"image": "image", "sticker": "image", "video": "video", "audio": "audio", "document": "document"}
_TYPING: Final = {"composing": (0, 0), "recording": (0, 1), "paused": (1, 0)}


class InquiryLibrary(Protocol):
    """The calls that the engine needs beside linking and sending; `Inquiries` has the contracts."""

    @property
    def protobufs(self) -> Any: ...
    def upload(self, client: str, data: bytes, kind: MediaKind) -> Any: ...
    def download(self, client: str, file: StoredFile) -> bytes: ...
    def is_on_whatsapp(self, client: str, phone: str) -> Any: ...
    def pn_of(self, client: str, lid: bytes) -> Any: ...
    def lid_of(self, client: str, pn: bytes) -> Any: ...
    def joined_groups(self, client: str) -> Any: ...
    def group(self, client: str, jid: bytes) -> Any: ...
    def mark_read(self, client: str, message_ids: tuple[str, ...], chat: bytes, sender: bytes) -> None: ...
    def set_typing(self, client: str, chat: bytes, state: TypingState) -> None: ...


class Inquiries(Bindings):
    """Every method blocks. Each raises LibraryError when the library or WhatsApp refuses."""

    protobufs: Any

    def upload(self, client: str, data: bytes, kind: MediaKind) -> Any:
        """Encrypt ``data`` under a new key and upload it; return the `UploadResponse` protobuf."""
        answer = self.take_answer(
            self.protobufs.UploadReturnFunction(), self._go.Upload(client.encode(), data, len(data), _KINDS[kind])
        )
        return answer.UploadResponse

    def download(self, client: str, file: StoredFile) -> bytes:
        """Fetch, check and decrypt a file."""
        enc, plain, key = file.file_enc_sha256, file.file_sha256, file.media_key
        pointer = self._go.DownloadMediaWithPath(
            client.encode(), file.direct_path.encode(), enc, len(enc), plain, len(plain), key, len(key),
            min(file.size, 0x7FFFFFFF), _KINDS[file.kind], _MMS[file.kind].encode(),
        )  # fmt: skip
        return bytes(self.take_answer(self.protobufs.DownloadReturnFunction(), pointer).Binary)

    def is_on_whatsapp(self, client: str, phone: str) -> Any:
        """Return the `IsOnWhatsAppResponse` protobuf for ``phone`` (digits)."""
        pointer = self._go.IsOnWhatsApp(client.encode(), f"+{phone}".encode())
        return self.take_answer(self.protobufs.IsOnWhatsAppReturnFunction(), pointer).IsOnWhatsAppResponse[0]

    def pn_of(self, client: str, lid: bytes) -> Any:
        """Return the JID with the phone number of a LID, empty when the library has not learnt it. WhatsApp is not asked."""
        pointer = self._go.GetPNFromLID(client.encode(), lid, len(lid))
        return self.take_answer(self.protobufs.GetJIDFromStoreReturnFunction(), pointer).Jid

    def lid_of(self, client: str, pn: bytes) -> Any:
        """Return the LID of a phone number, empty when the library has not learnt it. WhatsApp is not asked."""
        pointer = self._go.GetLIDFromPN(client.encode(), pn, len(pn))
        return self.take_answer(self.protobufs.GetJIDFromStoreReturnFunction(), pointer).Jid

    def joined_groups(self, client: str) -> Any:
        """Return a `GroupInfo` protobuf for each group this account is in."""
        answer = self.take_answer(
            self.protobufs.GetJoinedGroupsReturnFunction(), self._go.GetJoinedGroups(client.encode())
        )
        return answer.Group

    def group(self, client: str, jid: bytes) -> Any:
        """Return the `GroupInfo` protobuf of one group."""
        pointer = self._go.GetGroupInfo(client.encode(), jid, len(jid))
        return self.take_answer(self.protobufs.GetGroupInfoReturnFunction(), pointer).GroupInfo

    def mark_read(self, client: str, message_ids: tuple[str, ...], chat: bytes, sender: bytes) -> None:
        """Send a read receipt for messages that one person wrote."""
        ids = " ".join(message_ids).encode()
        raise_error(
            self.take_text(
                self._go.MarkRead(client.encode(), ids, int(time.time()), chat, len(chat), sender, len(sender), b"read")
            )
        )

    def set_typing(self, client: str, chat: bytes, state: TypingState) -> None:
        """Show a chat that this account types, records, or no longer does."""
        state_number, medium = _TYPING[state]
        raise_error(self.take_text(self._go.SendChatPresence(client.encode(), chat, len(chat), state_number, medium)))
