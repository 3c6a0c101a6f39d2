"""The daemon's queries to a company's client: files, numbers, groups, receipts, typing."""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

import trio

from actors.engine.errors import CallRefused
from actors.engine.protocol import orders as q
from actors.engine.protocol.contents import StoredFile
from actors.engine.protocol.messages import Done, FromEngine
from actors.engine.whatsmeow.addressing import parse_jid
from actors.engine.whatsmeow.client import Client
from actors.engine.whatsmeow.descriptions import describe_groups, describe_number
from actors.engine.whatsmeow.error_texts import is_media_gone
from actors.engine.whatsmeow.library_queries import InquiryLibrary
from actors.engine.whatsmeow.naming import Naming
from config.disk import write_fault

Inquiry = q.Upload | q.Download | q.CheckNumber | q.ListGroups | q.GetGroup | q.MarkRead | q.SetTyping

_FILES_AT_ONCE: Final = 2
"""Files of one company under way at once: a file is in memory three times while the library handles it."""


@final
class Asking:
    """Asks the library. Every failure is raised as `CallRefused`."""

    def __init__(self, library: InquiryLibrary, naming: Naming) -> None:
        self._library = library
        self._naming = naming
        self._files = trio.CapacityLimiter(_FILES_AT_ONCE)

    async def answer(self, client: Client, inquiry: Inquiry) -> FromEngine:
        """Return the answer to a query, asked through ``client``, which is logged in."""
        library = self._library
        match inquiry:
            case q.Upload():
                async with self._files:
                    return q.Uploaded(inquiry.call, await self._upload(client, inquiry))
            case q.Download():
                async with self._files:
                    await self._download(client, inquiry)
            case q.CheckNumber(call, jid, timeout_s):
                return describe_number(call, await self._naming.look_up(client, jid, deadline_s=timeout_s))
            case q.ListGroups(call, timeout_s):
                return describe_groups(call, await client.call(library.joined_groups, deadline_s=timeout_s))
            case q.GetGroup(call, jid, timeout_s):
                found = await client.call(library.group, self._jid(jid), deadline_s=timeout_s)
                return describe_groups(call, [found])
            case q.MarkRead(_, chat, ids, sender, timeout_s):
                jids = self._chat(chat), self._chat(sender or chat)
                await client.call(library.mark_read, ids, *jids, deadline_s=timeout_s)
            case q.SetTyping(_, to, state, timeout_s):
                await client.call(library.set_typing, self._chat(to), state, deadline_s=timeout_s)
        return Done(call=inquiry.call)

    def _chat(self, text: str) -> bytes:
        return self._jid(self._naming.known(text))

    def _jid(self, text: str) -> bytes:
        return bytes(parse_jid(self._library.protobufs, text).SerializeToString())

    async def _upload(self, client: Client, inquiry: q.Upload) -> StoredFile:
        data = await _read(Path(inquiry.path))
        try:
            done = await client.call(self._library.upload, data, inquiry.kind, deadline_s=inquiry.timeout_s)
        except CallRefused as refused:
            raise _as(refused, "upload_failed") from refused
        return StoredFile(
            kind=inquiry.kind,
            direct_path=done.DirectPath,
            media_key=done.MediaKey,
            file_sha256=done.FileSHA256,
            file_enc_sha256=done.FileEncSHA256,
            size=len(data),
            url=done.url,
        )

    async def _download(self, client: Client, inquiry: q.Download) -> None:
        try:
            data = await client.call(self._library.download, inquiry.file, deadline_s=inquiry.timeout_s)
        except CallRefused as refused:
            gone = is_media_gone(refused.text)
            raise _as(refused, "media_gone" if gone else "download_failed") from refused
        try:
            await trio.Path(inquiry.path).write_bytes(data)
        except OSError as error:
            if (reason := write_fault(error, Path(inquiry.path).parent)) is not None:
                raise CallRefused("storage_full", f"the file cannot be kept: {reason}") from error
            raise CallRefused("download_failed", f"the file cannot be kept: {error.strerror}") from error


async def _read(path: Path) -> bytes:
    try:
        return await trio.Path(path).read_bytes()
    except OSError as error:
        raise CallRefused("upload_failed", f"the file cannot be read: {error.strerror}") from error


def _as(refused: CallRefused, code: str) -> CallRefused:
    """Return the refusal under ``code``, unless it means that there is no connection or no answer."""
    return refused if refused.code in {"not_connected", "not_linked", "timeout"} else CallRefused(code, refused.text)
