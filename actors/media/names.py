"""File names in headers, read and written, and in URLs; and the type that a name tells where the bytes do not."""

from __future__ import annotations

import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

MAX_CHARACTERS: Final = 255

_EXTENDED = re.compile(r"filename\*\s*=\s*\"?([A-Za-z0-9_-]+)'[^';]*'([^;\"\s]*)", re.IGNORECASE)
_PLAIN = re.compile(r"filename\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^;\s]+))", re.IGNORECASE)
_ENCODED_WORD = re.compile(r"=\?[A-Za-z0-9_-]+\?[BbQq]\?[^?]*\?=")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ATTRIBUTE_CHARACTERS: Final = "!#$&+-.^_`|~"
"""The characters besides letters and digits that RFC 8187 leaves unescaped."""

_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
_ODF: Final = "application/vnd.oasis.opendocument"
_BY_ENDING: Final = {
    "docx": f"{_OFFICE}.wordprocessingml.document",
    "xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    "pptx": f"{_OFFICE}.presentationml.presentation",
    "docm": "application/vnd.ms-word.document.macroenabled.12",
    "xlsm": "application/vnd.ms-excel.sheet.macroenabled.12",
    "odt": f"{_ODF}.text",
    "ods": f"{_ODF}.spreadsheet",
    "odp": f"{_ODF}.presentation",
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "msg": "application/vnd.ms-outlook",
    "apk": "application/vnd.android.package-archive",
    "epub": "application/epub+zip",
    "jar": "application/java-archive",
    "kmz": "application/vnd.google-earth.kmz",
    "csv": "text/csv",
    "md": "text/markdown",
    "ics": "text/calendar",
    "vcf": "text/vcard",
    "json": "application/json",
    "rtf": "application/rtf",
    "pdf": "application/pdf",
    "7z": "application/x-7z-compressed",
    "rar": "application/vnd.rar",
    "zip": "application/zip",
    "dwg": "image/vnd.dwg",
    "p7m": "application/pkcs7-mime",
    "p7s": "application/pkcs7-signature",
}
_GENERIC: Final = frozenset({
    "application/zip", "application/octet-stream", "text/plain", "application/cdfv2", "application/x-ole-storage", "application/csv",
})  # fmt: skip
"""The types that libmagic gives many kinds of document."""
_TEXTS: Final = frozenset(
    {"text/csv", "text/markdown", "text/calendar", "text/vcard", "application/json", "application/rtf"}
)
_ENDINGS: Final = {mimetype: ending for ending, mimetype in _BY_ENDING.items()} | {
    "text/plain": "txt",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "video/mp4": "mp4",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/mp4": "m4a",
    "text/html": "html",
}


def type_by_name(mimetype: str, name: str) -> str:
    """Return ``mimetype``, the type by the bytes; or the type by the name, where the bytes tell only an archive, bytes or text."""
    named = _BY_ENDING.get(name.rpartition(".")[2].lower() if "." in name else "")
    if named is None or mimetype not in _GENERIC or (mimetype == "text/plain" and named not in _TEXTS):
        return mimetype
    return named


def default_name(mimetype: str) -> str:
    """Return a name for a document that has none."""
    ending = _ENDINGS.get(mimetype)
    return "file" if ending is None else f"file.{ending}"


def name_in_header(disposition: str) -> str:
    """Return the file's name in a Content-Disposition, in present and older forms (RFC 8187, RFC 2047, plain UTF-8); empty for none."""
    if (found := _EXTENDED.search(disposition)) is not None and (name := _decoded(found[2], found[1])):
        return name
    plain = _PLAIN.search(disposition)
    if plain is None:
        return ""
    text = re.sub(r"\\(.)", r"\1", plain[1]) if plain[1] is not None else plain[2]
    return decode_words(_as_utf8(text))


def decode_words(text: str) -> str:
    """Decode a name in mail's form for non-ASCII text (RFC 2047), which some clients write into forms. Return others as they are."""
    if not _ENCODED_WORD.search(text):
        return text
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeDecodeError, ValueError):
        return text


def name_in_url(url: str) -> str:
    """Return the last part of the URL's path; empty for none."""
    return unquote(urlsplit(url).path.rpartition("/")[2], errors="replace")


def clean_name(name: str) -> str:
    """Return a stranger's file name as it may be shown and sent: no directories, no control characters, of bounded length."""
    last = _CONTROL.sub("", name.replace("\\", "/").rpartition("/")[2]).strip()
    if len(last) <= MAX_CHARACTERS:
        return last
    stem, dot, ending = last.rpartition(".")
    kept = f"{dot}{ending}" if stem and len(ending) <= 16 else ""
    return last[: MAX_CHARACTERS - len(kept)] + kept


def disposition_of(name: str) -> str:
    """Return a Content-Disposition for a download: the name as every client reads it and, if needed, also in full (RFC 6266, RFC 8187)."""
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-._") else "_" for letter in name)
    whole = "" if name.isascii() else f"; filename*=UTF-8''{quote(name, safe=_ATTRIBUTE_CHARACTERS, errors='replace')}"
    return "attachment" + (f'; filename="{safe}"' if safe.strip("._") else "") + whole


def _decoded(text: str, charset: str) -> str:
    try:
        return unquote_to_bytes(text).decode(charset)
    except (LookupError, UnicodeDecodeError, ValueError):
        return ""


def _as_utf8(text: str) -> str:
    """Return header text, which was read as Latin-1, read as UTF-8 where its bytes are valid UTF-8."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text
