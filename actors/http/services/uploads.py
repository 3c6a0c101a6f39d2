"""Uploads: a body that is the file, or a form (multipart/form-data) that contains it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, Protocol, cast, final, get_args

from litestar.exceptions import InternalServerException
from multipart import MultipartError, MultipartSegment, PushMultipartParser  # type: ignore[import-untyped]

from actors.engine.protocol.contents import MediaKind
from actors.http.model.bodies import ApiRequest
from actors.http.model.problems import Problem
from actors.media.names import decode_words, name_in_header

FORM: Final = "multipart/form-data"
MAX_FILE_NAME: Final = 255
FILE_NAME: Final = r"^[^\u0000-\u001f]*$"
_FIELDS: Final = ("file", "kind", "fileName")
"""Each at most once, so a form has at most three parts."""
_MAX_FIELD_BYTES: Final = 4 * MAX_FILE_NAME
_MAX_BESIDE_BYTES: Final = 64 * 1024
"""Limit for everything but the file: headers, fields, and the bytes before the first boundary and after the last."""
_AS_IS: Final = frozenset({"binary", "8bit", "7bit"})
_KINDS: Final = get_args(MediaKind)


class Upload(Protocol):
    """A file that is being uploaded."""

    kind: MediaKind | None
    """The kind to send it as. Like the other fields, known when `chunks` has ended."""
    file_name: str

    def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the file's bytes as they arrive, without buffering them. Raises `Problem`."""
        ...


def upload_of(request: ApiRequest, kind: MediaKind | None, file_name: str) -> Upload:
    """Return the upload that ``request`` carries; ``kind`` and ``file_name`` are from its query."""
    media_type, options = request.content_type
    if media_type != FORM:
        return Body(_received(request), kind, file_name)
    return Form(_received(request), kind, file_name, options.get("boundary", ""))


async def _received(request: ApiRequest) -> AsyncGenerator[bytes]:
    try:
        async with aclosing(request.stream()) as body:
            async for chunk in body:
                yield chunk
    except InternalServerException as error:  # raised by the framework when the client has left
        raise Problem("bad_request", "the body was cut short") from error


@final
class Body:
    """An upload whose whole body is the file."""

    def __init__(self, body: AsyncGenerator[bytes], kind: MediaKind | None, file_name: str) -> None:
        self.kind: MediaKind | None = kind
        self.file_name = file_name
        self._body = body

    def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body."""
        return self._body


@final
class Form:
    """A form: its part ``file`` is the file; ``kind`` and ``fileName`` may be parts too, in any order, or in the query."""

    def __init__(self, body: AsyncGenerator[bytes], kind: MediaKind | None, file_name: str, boundary: str) -> None:
        self.kind: MediaKind | None = kind
        self.file_name = file_name
        self._body = body
        self._boundary = boundary
        self._given = {name for name, value in (("kind", kind), ("fileName", file_name)) if value}
        self._part = ""
        self._text = bytearray()
        self._name_of_part = ""

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the bytes of the part ``file``. Raises `bad_request` when the body is no form, `invalid_request` for a form with other
        fields.
        """
        try:
            parser = PushMultipartParser(self._boundary)
            beside = 0
            async with aclosing(self._body) as body:
                async for chunk in body:
                    beside += len(chunk)
                    for event in parser.parse(chunk):
                        if (piece := self._take(event)) is not None:
                            beside -= len(piece)
                            yield piece
                    if beside > _MAX_BESIDE_BYTES:
                        raise Problem(
                            "bad_request", f"the form has more than {_MAX_BESIDE_BYTES} bytes beside its file"
                        )
            parser.close()
        except MultipartError as error:
            raise Problem("bad_request", f"the form cannot be read: {error}") from error
        if "file" not in self._given:
            raise Problem("invalid_request", "file: missing in the form")
        self.file_name = self.file_name or self._name_of_part

    def _take(self, event: MultipartSegment | bytes | bytearray | None) -> bytes | None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            self._end()
        elif self._part == "file":
            return bytes(event)
        else:
            self._text += event
            if len(self._text) > _MAX_FIELD_BYTES:
                raise Problem("invalid_request", f"{self._part}: longer than {_MAX_FIELD_BYTES} bytes")
        return None

    def _begin(self, part: MultipartSegment) -> None:
        name = part.name or ""
        if name not in _FIELDS:
            raise Problem("invalid_request", f"{name[:64]!r}: a form has the fields {', '.join(_FIELDS)}")
        if name in self._given:
            raise Problem("invalid_request", f"{name}: given twice")
        if name == "file":
            if dict(part.headerlist).get("Content-Transfer-Encoding", "binary").lower() not in _AS_IS:
                raise Problem("invalid_request", "file: send it without a Content-Transfer-Encoding (RFC 7578, 4.7)")
            disposition = dict(part.headerlist).get("Content-Disposition", "")
            named = name_in_header(disposition) if "filename*" in disposition.lower() else ""
            self._name_of_part = _checked_name(named or decode_words(part.filename or ""))
        self._part = name
        self._given.add(name)
        self._text.clear()

    def _end(self) -> None:
        if self._part == "file":
            return
        try:
            text = self._text.decode()
        except UnicodeDecodeError as error:
            raise Problem("invalid_request", f"{self._part}: not UTF-8") from error
        if self._part == "fileName":
            self.file_name = _checked_name(text)
        elif text in _KINDS:
            self.kind = cast("MediaKind", text)
        else:
            raise Problem("invalid_request", f"kind: one of {', '.join(_KINDS)}")


def _checked_name(name: str) -> str:
    if len(name) > MAX_FILE_NAME or re.fullmatch(FILE_NAME, name) is None:
        raise Problem(
            "invalid_request", f"fileName: at most {MAX_FILE_NAME} characters, none of them a control character"
        )
    return name
