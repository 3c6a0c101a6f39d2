"""Files: uploaded to be sent, and fetched when they came with a message."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, get_args

import trio
from litestar import Controller, get, post
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream

from actors.engine.protocol.contents import MediaKind
from actors.http.access.guards import CompanyId, needs_company, needs_key
from actors.http.model.bodies import ApiRequest
from actors.http.model.problems import Problem
from actors.http.model.responses import MediaReply
from actors.http.openapi.operations import OF_A_COMPANY, may_answer
from actors.http.services.backends import Injected, note_read
from actors.http.services.sending import require_connected
from actors.http.services.uploads import FILE_NAME, FORM, MAX_FILE_NAME, upload_of
from actors.media.names import disposition_of
from actors.media.spool import remove, size_of

_CHUNK_BYTES: Final = 64 * 1024
_MEDIA_ID: Final = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
_SHOWN: Final = re.compile(r"(?:image/(?:jpeg|png|webp|gif)|video/[a-z0-9.+-]+|audio/[a-z0-9.+-]+|application/pdf)")
"""Types that a browser does not run. All others are sent as `application/octet-stream`, because a sender may call its file anything."""

_A_FILE: Final = ResponseSpec(
    data_container=bytes, media_type="application/octet-stream", description="The file", generate_examples=False
)
"""actors/http/openapi/document.py adds the other types that the response may have."""

FileName = Annotated[
    str,
    QueryParameter(
        name="fileName",
        max_length=MAX_FILE_NAME,
        pattern=FILE_NAME,
        description="What a document is called",
        required=False,
    ),
]
Kind = Annotated[
    MediaKind | None,
    QueryParameter(name="kind", description="What it will be sent as; by its type when left out", required=False),
]


@dataclass
class _Upload(Operation):
    """The file is the body itself, or a part of a form."""

    def __post_init__(self) -> None:
        binary = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, min_length=1)
        form = Schema(
            type=OpenAPIType.OBJECT,
            properties={
                "file": binary,
                "kind": Schema(type=OpenAPIType.STRING, enum=get_args(MediaKind)),
                "fileName": Schema(type=OpenAPIType.STRING, max_length=MAX_FILE_NAME, pattern=FILE_NAME),
            },
            required=["file"],
            additional_properties=False,
        )
        self.request_body = RequestBody(
            content={"application/octet-stream": OpenAPIMediaType(binary), FORM: OpenAPIMediaType(form)}, required=True
        )


class MediaController(Controller):
    """Files in and out."""

    path = "/api/whatsapp/sessions/{company_id:str}/media"
    guards = (needs_key, needs_company)
    tags = ("messages",)

    @post(
        status_code=201,
        summary="Upload a file",
        operation_class=_Upload,
        request_max_body_size=None,
        responses=may_answer(
            *OF_A_COMPANY, "no_active_session", "reconnecting", "bad_request", "invalid_request", "request_timeout", "media_too_large",
            "wrong_media_type", "media_upload_failed", "media_unreadable", "too_many_transfers", "engine_unavailable",
        ),
    )  # fmt: skip
    async def upload_media(
        self,
        request: ApiRequest,
        company_id: CompanyId,
        backends: Injected,
        kind: Kind = None,
        file_name: FileName = "",
    ) -> MediaReply:
        """The body is the file, whatever its media type. Only in a form (multipart/form-data) the file is the part `file`, and `kind` and
        `fileName` may be parts of it too. The returned id can be used in any number of sends until it expires.
        """
        company = await backends.find(company_id)
        await require_connected(company, company_id, backends)
        known = await backends.transfers.take(request.auth, company, company_id, upload_of(request, kind, file_name))
        file = known.file
        return MediaReply(
            company_id=company_id,
            media_id=known.media_id,
            kind=file.kind,
            mimetype=file.mimetype,
            size=file.size,
            expires_at=known.expires_at,
        )

    @get(
        "/{media_id:str}",
        summary="Fetch a file",
        responses={
            200: _A_FILE,
            **may_answer(
                *OF_A_COMPANY, "no_active_session", "reconnecting", "no_such_media", "media_gone", "media_too_large", "media_unreadable",
                "media_download_failed", "too_many_transfers", "engine_unavailable",
            ),
        },
    )  # fmt: skip
    async def fetch_media(
        self,
        company_id: CompanyId,
        media_id: Annotated[str, PathParameter(description="From a message's `media.id`, or from an upload")],
        request: ApiRequest,
        backends: Injected,
    ) -> Stream:
        """Fetched from WhatsApp, decrypted and checked, now. WhatsApp deletes files after some weeks (`media_gone`)."""
        company = await backends.find(company_id)
        if _MEDIA_ID.fullmatch(media_id) is None:
            raise Problem("no_such_media", company_id=company_id)
        known = await backends.transfers.find(company_id, media_id)
        await require_connected(company, company_id, backends)
        async with AsyncExitStack() as stack:
            path = await stack.enter_async_context(backends.transfers.fetched(request.auth, company, known.file))
            size = size_of(path)
            keep = stack.pop_all()
        note_read(request, backends, "media_read", f"{company_id} {media_id}")
        shown = _SHOWN.match(known.file.mimetype.lower())
        return Stream(
            _chunks(path, keep),
            media_type=shown.group() if shown else "application/octet-stream",
            headers={
                "Content-Length": str(size),
                "Content-Disposition": disposition_of(known.file.file_name),
                "Content-Security-Policy": "sandbox; default-src 'none'",
            },
        )


async def _chunks(path: Path, keep: AsyncExitStack) -> AsyncGenerator[bytes]:
    async with keep, await trio.open_file(path, "rb") as file:
        remove(path)  # the open file stays readable
        while chunk := await file.read(_CHUNK_BYTES):
            yield chunk
