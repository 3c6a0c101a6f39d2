"""What may stand in a log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.redaction import printable, scrub, scrub_foreign_error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("79000000001", "7900…01"),
        ("to 79000000001:12@s.whatsapp.net now", "to 7900…01:12@s.whatsapp.net now"),
        ("+7 900 000-00-01", "7900…01"),
        ("8 (900) 000-00-01", "8900…01"),
        ("session-79000000001.0", "session-7900…01.0"),
        ("120363000000000000@g.us", "1203…00@g.us"),
        ("x79000000001x", "x7900…01x"),
        ("٧٩٠٠٠٠٠٠٠٠١", "٧٩٠٠…٠١"),  # noqa: RUF001  # digits are digits in every script
        ("962302 is a company, 100 of 2026-11-21", "962302 is a company, 100 of 2026-11-21"),
        ("peer 192.168.100.200:3003", "peer 192.168.100.200:3003"),
        ("postgresql://u:p@h/d", "postgresql://…@h/d"),
        ("key AbCdEfGhIjKlMnOpQrStUvWxYz0123456789+/==", "key [40 characters]"),
        ("0123456789abcdef0123456789abcdef", "[32 characters]"),
        ("a\r\nb\x1b[31m\u2028\u202e", "a\\u000d\\u000ab\\u001b[31m\\u2028\\u202e"),
        ("\ud800", "\\ud800"),
    ],
)
def test_scrub(text: str, expected: str) -> None:
    """Phone numbers, chats, tokens, passwords in URLs and control characters do not survive; other text does."""
    assert expected == scrub(text, 200)


def test_length_is_limited_whatever_the_text() -> None:
    """A megabyte becomes one short value, quickly enough to be tested."""
    assert scrub("79000000001" * 100_000, 100)[-1] == "…"
    assert len(scrub("a " * 1_000_000, 100)) <= 101


@given(st.text(max_size=300))
def test_a_line_stays_a_line(text: str) -> None:
    """No text breaks a line or cannot be encoded."""
    result = printable(scrub(text, 100), 10_000)

    assert result.encode().splitlines() in ([], [result.encode()])


@given(st.text(max_size=40), st.from_regex(r"\A79[0-9]{9}\Z"), st.text(max_size=40))
def test_no_phone_number_survives(before: str, phone: str, after: str) -> None:
    """A full number inside any text is shortened."""
    assert phone not in scrub(before + phone + after, 1000)


def test_foreign_errors_lose_what_they_quote() -> None:
    """A library's text often quotes the data that must not be logged; so do the lines after the first."""
    text = "invalid input for query argument $1: 'dear customer' (a str is required)\nDETAIL: Failing row contains x"

    assert scrub_foreign_error(text, 200) == "invalid input for query argument $1: '…' (a str is required)"
