"""What a file is called: in headers, in both directions, and in URLs; and what its name says where its bytes do not."""

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
"""Beside letters and digits, what RFC 8187 lets stand for itself."""

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
"""What the bytes of many kinds of document look like."""
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
    """``mimetype`` as the bytes have it, or what the name says where those say only that it is an archive, bytes or text."""
    named = _BY_ENDING.get(name.rpartition(".")[2].lower() if "." in name else "")
    if named is None or mimetype not in _GENERIC or (mimetype == "text/plain" and named not in _TEXTS):
        return mimetype
    return named


def default_name(mimetype: str) -> str:
    """For a document that nothing names."""
    ending = _ENDINGS.get(mimetype)
    return "file" if ending is None else f"file.{ending}"


def name_in_header(disposition: str) -> str:
    """The file's name in a Content-Disposition, as it is written today or was once (RFC 8187, RFC 2047, plain UTF-8); empty for none."""
    if (found := _EXTENDED.search(disposition)) is not None and (name := _decoded(found[2], found[1])):
        return name
    plain = _PLAIN.search(disposition)
    if plain is None:
        return ""
    text = re.sub(r"\\(.)", r"\1", plain[1]) if plain[1] is not None else plain[2]
    return decode_words(_as_utf8(text))


def decode_words(text: str) -> str:
    """A name in the form that mail has for what is not ASCII (RFC 2047), which some clients write into forms; any other as it is."""
    if not _ENCODED_WORD.search(text):
        return text
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeDecodeError, ValueError):
        return text


def name_in_url(url: str) -> str:
    """The last part of the path; empty for none."""
    return unquote(urlsplit(url).path.rpartition("/")[2], errors="replace")


def clean_name(name: str) -> str:
    """A name that a stranger chose, as it may be shown and sent: no directories, no control characters, of bounded length."""
    last = _CONTROL.sub("", name.replace("\\", "/").rpartition("/")[2]).strip()
    if len(last) <= MAX_CHARACTERS:
        return last
    stem, dot, ending = last.rpartition(".")
    kept = f"{dot}{ending}" if stem and len(ending) <= 16 else ""
    return last[: MAX_CHARACTERS - len(kept)] + kept


def disposition_of(name: str) -> str:
    """Always a download; the name as all clients read it, and beside that in full where it is more than that (RFC 6266, RFC 8187)."""
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-._") else "_" for letter in name)
    whole = "" if name.isascii() else f"; filename*=UTF-8''{quote(name, safe=_ATTRIBUTE_CHARACTERS, errors='replace')}"
    return "attachment" + (f'; filename="{safe}"' if safe.strip("._") else "") + whole


def _decoded(text: str, charset: str) -> str:
    try:
        return unquote_to_bytes(text).decode(charset)
    except (LookupError, UnicodeDecodeError, ValueError):
        return ""


def _as_utf8(text: str) -> str:
    """Header bytes come read as Latin-1; what they spell in UTF-8 is meant so."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text
