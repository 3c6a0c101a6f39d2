"""Keeps secrets out of logs: applied to every line that an engine process prints, at the source and again by the daemon. Pure."""

from __future__ import annotations

import re
from typing import Final

MAX_CHARACTERS: Final = 600
"""Longer lines are cut, because the library prints whole protocol nodes."""

_QR_BLOCKS: Final = re.compile("[\u2580-\u259f]")
_QR_TEXT: Final = re.compile(r"https?://wa\.me/\S*|\b2@[A-Za-z0-9+/=_,-]{20,}")
_PAIRING_LINE: Final = re.compile(r"(?i)pair(?:ing)?[ _-]?code")
_PAIRING_CODE: Final = re.compile(r"\b[1-9A-HJ-NP-Z]{4}-[1-9A-HJ-NP-Z]{4}\b")
_NODE: Final = re.compile(r"<(?=[a-z])[a-z0-9:_-]+(?:[\s/>].*|$)", re.DOTALL)
_LONG_SECRET: Final = re.compile(r"(?<![\w/])(?:[A-Za-z0-9+/_-]{40,}={0,2}|(?:[0-9A-Fa-f]{2}[ :]?){20,})(?![\w/])")
_QUOTED_TEXT: Final = re.compile(
    r'(?i)\b(conversation|text|caption|body|push_?name)(["\']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|\S+)'
)
_JID: Final = re.compile(
    r"\b(\d{5,20})((?:[_.]\d{1,3})?(?::\d{1,3})?@(?:s\.whatsapp\.net|lid|c\.us|g\.us|hosted|hosted\.lid|broadcast|newsletter))"
)
_NUMBER: Final = re.compile(r"(?<![\w.-])\+?(\d{10,15})(?![\w.])")
_FAILURE_ATTRIBUTES: Final = re.compile(r'\b(reason|code|expire|type)="?([\w-]{1,24})"?')
_CHATTER: Final = frozenset({"Press Ctrl+C to exit"})


def redact(line: str) -> str:
    """Return the line without QR codes, pairing codes, keys and message text, numbers shortened; empty when nothing is left."""
    line = line.rstrip()
    if line.strip() in _CHATTER or _QR_BLOCKS.search(line):
        return ""
    if _PAIRING_LINE.search(line):
        line = _PAIRING_CODE.sub("[code]", line)
    line = _QR_TEXT.sub("[qr]", line)
    line = _NODE.sub(_describe_node, line)
    line = _QUOTED_TEXT.sub(r"\1\2[text]", line)
    line = _JID.sub(lambda match: shorten(match.group(1)) + match.group(2), line)
    line = _LONG_SECRET.sub("[key]", line)
    line = _NUMBER.sub(lambda match: shorten(match.group(1)), line)
    return line if len(line) <= MAX_CHARACTERS else line[:MAX_CHARACTERS] + "…"


def shorten(number: str) -> str:
    """Return the first two and the last two digits of a phone number or LID, enough for operators to tell numbers apart."""
    return f"{number[:2]}…{number[-2:]}" if len(number) > 6 else "…"


def _describe_node(match: re.Match[str]) -> str:
    """Return a protocol node's tag with only the attributes that say why something failed."""
    node = match.group()
    tag = re.match(r"<([a-z0-9:_-]+)", node)
    attributes = " ".join(f'{name}="{value}"' for name, value in _FAILURE_ATTRIBUTES.findall(node.partition(">")[0]))
    return f"<{tag.group(1) if tag else ''}{' ' if attributes else ''}{attributes} …>"
