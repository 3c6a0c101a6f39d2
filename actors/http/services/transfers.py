"""Files between applications, URLs and WhatsApp: bounded in number, size and time."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, final

import msgspec
import trio

from actors.disk.state import DiskState
from actors.engine.protocol import contents as c
from actors.http.access.auth import Principal
from actors.http.access.shared_slots import slot_for
from actors.http.model.outgoing_message import Attachment
from actors.http.model.problems import Problem
from actors.http.services.uploads import Upload
from actors.media.facts import Facts
from actors.media.fetching import fetch_file
from actors.media.inspecting import Inspector
from actors.media.libmagic import Recognizer
from actors.media.names import default_name, type_by_name
from actors.media.recognizing import (
    codec_of,
    is_animated,
    is_taken,
    natural_kind,
    recognize,
    seconds_of,
    settled_type,
    types_taken,
    voice_type,
)
from actors.media.spool import Spool, size_of
from actors.messages import DownloadFile, UploadFile
from actors.outbound.client import Outbound
from actors.outbound.errors import NO_USABLE_ADDRESS, OutboundError, OutboundRefused, public_reason
from actors.sharing import SharedSlots
from config.sections import MediaSettings
from supervisor import ActorRef

_MAX_STICKER: Final = 500 * 1024
"""The largest sticker that WhatsApp's clients show."""
_SPARE_S: Final = 3.0
"""Extra time, because the company itself reports that it took too long."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file that can be fetched or sent again."""

    media_id: str
    file: c.StoredFile
    expires_at: float


class MediaStore(Protocol):
    """Stores what is needed to fetch a file. Every method raises StorageUnavailable."""

    async def find(self, company_id: str, media_id: str) -> KnownFile | None:
        """Return the company's file with this id."""
        ...

    async def keep(self, company_id: str, media_id: str, file: c.StoredFile, keep_s: float) -> None:
        """Remember a file."""
        ...


@final
class Transfers:
    """Every method raises `Problem`s, and `Refused` when the company refuses."""

    def __init__(
        self,
        settings: MediaSettings,
        *,
        store: MediaStore,
        spool: Spool,
        outbound: Outbound,
        wall_clock: Callable[[], float],
        disk: DiskState,
    ) -> None:
        self._disk = disk
        self._settings = settings
        self._store = store
        self._spool = spool
        self._outbound = outbound
        self._wall_clock = wall_clock
        self._inspector = Inspector()
        self._recognizer = Recognizer()
        self.slots = SharedSlots(settings.max_transfers)

    # --- out ----------------------------------------------------------------------------------------------------------

    async def attach(self, principal: Principal, company: ActorRef, company_id: str, wanted: Attachment) -> c.Media:
        """Return the message for a file that was uploaded before, or that is fetched from its URL and uploaded now."""
        if wanted.media_id is not None:
            file = (await self.find(company_id, wanted.media_id)).file
            if file.kind != wanted.kind:
                raise Problem(
                    "wrong_media_type", f"this file was taken as {file.kind}: send it as that, or upload it again"
                )
        else:
            assert wanted.url is not None
            file = await self._from_url(principal, company, company_id, wanted.url, wanted)
        return _message(file, wanted)

    async def take(self, principal: Principal, company: ActorRef, company_id: str, upload: Upload) -> KnownFile:
        """Receive an upload, upload it to WhatsApp, and remember it."""
        async with self._transfer(principal), self._spool.file() as path:
            await self._receive(upload.chunks(), path)
            file = await self._upload(company, path, upload.kind, upload.file_name)
        media_id, keep_s = secrets.token_hex(16), self._settings.retention_s
        await self._store.keep(company_id, media_id, file, keep_s)
        return KnownFile(media_id, file, self._wall_clock() + keep_s)

    async def _from_url(
        self, principal: Principal, company: ActorRef, company_id: str, url: str, wanted: Attachment
    ) -> c.StoredFile:
        settings = self._settings
        try:
            self._outbound.policy.check_url(url)
        except OutboundRefused as error:
            raise Problem("url_refused", error.text) from error
        async with self._transfer(principal), self._spool.file() as path:
            try:
                async with self._outbound.client(company_id, connections=1) as client:
                    name = await fetch_file(
                        client, url, path, max_bytes=settings.max_bytes, timeout_s=settings.transfer_timeout_s
                    )
            except OutboundError as error:
                code = "media_too_large" if error.reason == "too_large" else "url_failed"
                is_of_name = public_reason(error.reason) == "unresolvable"
                raise Problem(code, NO_USABLE_ADDRESS if is_of_name else error.text) from error
            return await self._upload(company, path, wanted.kind, wanted.file_name or name)

    async def _receive(self, chunks: AsyncGenerator[bytes], path: Path) -> None:
        received = 0
        with trio.move_on_after(self._settings.transfer_timeout_s):
            async with aclosing(chunks), await trio.open_file(path, "wb") as file:
                async for chunk in chunks:
                    received += len(chunk)
                    if received > self._settings.max_bytes:
                        raise self._too_large()
                    await file.write(chunk)
            return
        raise Problem("request_timeout", "the file did not arrive in time")

    async def _upload(self, company: ActorRef, path: Path, kind: c.MediaKind | None, name: str) -> c.StoredFile:
        size = size_of(path)
        if size == 0:
            raise Problem("wrong_media_type", "the file is empty")
        found = await recognize(path, self._recognizer)
        facts = await self._inspector.inspect(path, found)
        mimetype = settled_type(found, facts)
        kind = kind or natural_kind(mimetype)
        if kind == "document":
            mimetype = type_by_name(mimetype, name)
        if not is_taken(kind, mimetype):
            raise Problem("wrong_media_type", f"the file is {mimetype}; as {kind} WhatsApp takes {types_taken(kind)}")
        if kind == "sticker" and size > _MAX_STICKER:
            raise Problem("media_too_large", f"a sticker has at most {_MAX_STICKER} bytes")
        described = await _described(path, mimetype, facts)
        timeout_s = self._settings.transfer_timeout_s + _SPARE_S
        file = await company.ask(UploadFile(str(path), kind), timeout=timeout_s)
        return msgspec.structs.replace(file, mimetype=mimetype, file_name=name, **described)

    # --- in -----------------------------------------------------------------------------------------------------------

    async def find(self, company_id: str, media_id: str) -> KnownFile:
        """Return a remembered file. Raises `no_such_media`."""
        found = await self._store.find(company_id, media_id)
        if found is None:
            raise Problem("no_such_media", company_id=company_id)
        return found

    @asynccontextmanager
    async def fetched(self, principal: Principal, company: ActorRef, file: c.StoredFile) -> AsyncGenerator[Path]:
        """Fetch the file as it was sent; it stays on this machine during the block."""
        if file.size > self._settings.max_bytes:
            raise self._too_large()
        async with self._transfer(principal), self._spool.file() as path:
            timeout_s = self._settings.transfer_timeout_s + _SPARE_S
            await company.ask(DownloadFile(file, str(path)), timeout=timeout_s)
            if size_of(path) > self._settings.max_bytes:  # its sender announced a smaller size
                raise self._too_large()
            yield path

    @asynccontextmanager
    async def _transfer(self, principal: Principal) -> AsyncGenerator[None]:
        if (reason := self._disk.why_no_files) is not None:
            raise Problem("storage_full", reason)
        with slot_for(principal, self.slots, "too_many_transfers", "files on their way"):
            yield

    def _too_large(self) -> Problem:
        return Problem("media_too_large", f"the file is larger than {self._settings.max_bytes} bytes")


async def _described(path: Path, mimetype: str, facts: Facts) -> dict[str, Any]:
    """Return what a message says of its file, apart from the type."""
    return {
        "seconds": await seconds_of(path, mimetype) or facts.seconds,
        "codec": await codec_of(path, mimetype, facts),
        "animated": await is_animated(path, mimetype),
        "width": facts.width,
        "height": facts.height,
        "thumbnail": facts.thumbnail,
    }


def _message(file: c.StoredFile, wanted: Attachment) -> c.Media:
    if wanted.kind == "document":
        name = wanted.file_name or file.file_name or default_name(file.mimetype)
        file = msgspec.structs.replace(file, file_name=name)
    if wanted.voice:
        mimetype = voice_type(file.mimetype, file.codec)
        if mimetype is None:
            codec = f" with {file.codec}" if file.codec else ""
            text = f"a voice note is Opus in Ogg, or Opus or AAC in MP4; this file is {file.mimetype}{codec}"
            raise Problem("wrong_media_type", text)
        file = msgspec.structs.replace(file, mimetype=mimetype)
    return c.Media(file=file, caption=wanted.caption, voice=wanted.voice)
