"""The names of files."""

from __future__ import annotations

import pytest

from actors.media.names import (
    MAX_CHARACTERS,
    clean_name,
    decode_words,
    default_name,
    disposition_of,
    name_in_header,
    name_in_url,
    type_by_name,
)

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="offer.pdf"', "offer.pdf"),
        ("attachment; filename=offer.pdf", "offer.pdf"),
        ('attachment; filename="a\\"b.pdf"', 'a"b.pdf'),
        ("attachment; filename=\"x.pdf\"; filename*=UTF-8''%D0%A1%D1%87%D1%91%D1%82.pdf", "Счёт.pdf"),
        ("attachment; filename*=utf-8'ru'%D0%A1%D1%87%D1%91%D1%82.pdf; filename=x.pdf", "Счёт.pdf"),
        ("attachment; filename*=windows-1251''%D1%F7%B8%F2.pdf", "Счёт.pdf"),
        ("attachment; filename*=nonsense''%D1; filename=x.pdf", "x.pdf"),
        ('attachment; filename="=?utf-8?B?0KHRh9GR0YIucGRm?="', "Счёт.pdf"),
        ('attachment; filename="=?koi8-r?Q?=F3=DE=A3=D4=2Epdf?="', "Счёт.pdf"),
        ('attachment; filename="=?nonsense?B?AAAA?="', "=?nonsense?B?AAAA?="),
        ('attachment; filename="' + "Счёт.pdf".encode().decode("latin-1") + '"', "Счёт.pdf"),
        ("inline", ""),
        ("", ""),
    ],
)
def test_a_header_names_a_file(header: str, name: str) -> None:
    """In today's form, and in earlier ones."""
    assert name_in_header(header) == name


def test_a_word_of_mail_is_decoded_and_nothing_else() -> None:
    """A name may look a little like one."""
    assert decode_words("=?utf-8?B?0KHRh9GR0YIucGRm?=") == "Счёт.pdf"
    assert decode_words("what=?.pdf") == "what=?.pdf"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.com/a/offer.pdf?x=1#y", "offer.pdf"),
        ("https://example.com/%D0%A1%D1%87%D1%91%D1%82.pdf", "Счёт.pdf"),
        ("https://example.com/", ""),
        ("https://example.com", ""),
    ],
)
def test_a_url_names_a_file(url: str, name: str) -> None:
    """By the last part of its path."""
    assert name_in_url(url) == name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\files\\a.pdf", "a.pdf"),
        ("a\r\nb\0.pdf", "ab.pdf"),
        ("x" * 300 + ".pdf", "x" * (MAX_CHARACTERS - 4) + ".pdf"),
        ("x" * 300, "x" * MAX_CHARACTERS),
        ("  ", ""),
    ],
)
def test_a_strangers_name_is_made_harmless(written: str, name: str) -> None:
    """No directories, no control characters, no more than a name may have."""
    assert clean_name(written) == name


@pytest.mark.parametrize(
    ("mimetype", "name", "expected"),
    [
        ("application/zip", "a.docx", DOCX),
        ("application/octet-stream", "a.DOCX", DOCX),
        ("application/zip", "app.apk", "application/vnd.android.package-archive"),
        ("application/cdfv2", "a.xls", "application/vnd.ms-excel"),
        ("text/plain", "a.csv", "text/csv"),
        ("application/zip", "a.zip", "application/zip"),
        ("application/zip", "docx", "application/zip"),
        ("application/zip", "", "application/zip"),
        ("text/plain", "a.docx", "text/plain"),
        ("text/plain", "a.apk", "text/plain"),
        ("image/png", "a.docx", "image/png"),
        ("text/html", "a.csv", "text/html"),
        ("application/octet-stream", "a.html", "application/octet-stream"),
    ],
)
def test_a_name_decides_where_bytes_say_little(mimetype: str, name: str, expected: str) -> None:
    """And nowhere else: a picture stays a picture, a page a page."""
    assert type_by_name(mimetype, name) == expected


def test_a_document_without_a_name_has_at_least_its_ending() -> None:
    """Phones choose the program by it."""
    assert [default_name(one) for one in ("application/pdf", DOCX, "x/y")] == ["file.pdf", "file.docx", "file"]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.pdf", 'attachment; filename="a.pdf"'),
        ("", "attachment"),
        ("Счёт 5.pdf", "attachment; filename=\"_____5.pdf\"; filename*=UTF-8''%D0%A1%D1%87%D1%91%D1%82%205.pdf"),
        ("\ud800.pdf", "attachment; filename=\"_.pdf\"; filename*=UTF-8''%3F.pdf"),
    ],
)
def test_a_download_keeps_its_name(name: str, header: str) -> None:
    """In full beside what every client reads."""
    assert disposition_of(name) == header
    if name and not name.isascii() and "\ud800" not in name:
        assert name_in_header(header) == name
