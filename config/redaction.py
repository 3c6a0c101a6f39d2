"""Makes text fit for a log: no phone number, no key, no QR code, no control character, a limited length."""

from __future__ import annotations

import re

# A run of seven digits or more in any surroundings, and the usual groupings of a phone number's digits.
_DIGITS = re.compile(r"\+?\d{7,}")
_GROUPED = re.compile(r"(?<![\w.])\+?\d{1,3}[ -]?\(?\d{3}\)?[ -]?\d{3}[ -]?\d{2}[ -]?\d{2}(?!\w)")
_TOKEN = re.compile(r"(?=[A-Za-z0-9+/_=-]*[a-z])(?=[A-Za-z0-9+/_=-]*[A-Z])(?=[A-Za-z0-9+/_=-]*\d)[A-Za-z0-9+/_=-]{20,}")
_HEX = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{32,}(?![0-9A-Za-z])")
_USER_INFORMATION = re.compile(r"(?<=://)[^/@\s]+@")
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_QUOTED = re.compile(r"(?<!\w)[bBrRuU]{0,2}(?:'.*'|\".*\")(?!\w)")

_HEAD_DIGITS = 4
_TAIL_DIGITS = 2


def scrub(text: str, max_chars: int) -> str:
    """Return ``text`` with phone numbers, chat ids and long tokens shortened; see `printable` for the rest."""
    # Cut before the patterns run, since their time grows with the length. Twice the room keeps a number at the cut
    # whole.
    is_long = len(text) > 2 * max_chars
    text = text[: 2 * max_chars]
    text = _USER_INFORMATION.sub("…@", text)
    text = _TOKEN.sub(_describe_token, text)
    text = _HEX.sub(_describe_token, text)
    text = _GROUPED.sub(_shorten, text)
    text = _DIGITS.sub(_shorten, text)
    shown = printable(text, max_chars)
    return f"{shown}…" if is_long and not shown.endswith("…") else shown


def printable(text: str, max_chars: int) -> str:
    """Return ``text`` on one line, with terminal control and reordering characters escaped, cut at ``max_chars``."""
    cut = text[:max_chars]
    cut = _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", cut)
    return cut if len(text) <= max_chars else f"{cut}…"


def shorten_phone(text: str) -> str:
    """Return a phone number as logs show it: ``7900…01``."""
    digits = [character for character in text if character.isdigit()]
    return f"{''.join(digits[:_HEAD_DIGITS])}…{''.join(digits[-_TAIL_DIGITS:])}"


def scrub_foreign_error(text: str, max_chars: int) -> str:
    """Return the first line of a library's error text without quoted parts, since libraries quote the data that caused the error."""
    return scrub(without_quotes(text), max_chars)


def without_quotes(text: str) -> str:
    """Return the first line of ``text``, without everything between the first and last quotation mark of each kind."""
    return _QUOTED.sub("'…'", text.partition("\n")[0])


def _shorten(found: re.Match[str]) -> str:
    return shorten_phone(found[0])


def _describe_token(found: re.Match[str]) -> str:
    return f"[{len(found[0])} characters]"
