"""For schemathesis (`SCHEMATHESIS_HOOKS`): examples of our own formats, and dependencies that no schema can express."""

from __future__ import annotations

import hashlib
import re
from collections.abc import MutableMapping
from typing import Any, Final

import schemathesis
from hypothesis import strategies as st

PHONES = st.integers(0, 99).map(lambda number: f"+790000000{number:02}")
RECIPIENTS = st.one_of(
    PHONES,
    PHONES.map(lambda phone: phone[1:]),
    PHONES.map(lambda phone: f"{phone[1:]}@s.whatsapp.net"),
    st.integers(0, 99).map(lambda number: f"1000000000000{number:02}@lid"),
    st.integers(0, 99).map(lambda number: f"52155000000{number:02}@s.whatsapp.net"),
)
FILES: Final = ("image", "video", "audio", "document", "sticker")

KEY: Final = "Idempotency-Key"
VALID_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)

URLS = st.integers(0, 99).map(lambda number: f"https://receiver{number}.invalid/hook?n={number}")

schemathesis.openapi.format("phone-number", PHONES)
schemathesis.openapi.format("public-https-url", URLS)
schemathesis.openapi.format("whatsapp-recipient", RECIPIENTS)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Of a message: no URL is fetched, only in a group another's message is deleted, a change is no reply and has no timer, and an
    Idempotency-Key belongs to one body. Of an upload: which bytes are an image.
    """
    if isinstance(case.query, dict) and case.path.endswith("/media"):
        case.query.pop("kind", None)
    if isinstance(case.body, dict) and case.path.endswith("/send"):
        case.body = _sensible(case.body)
        _own_key(case)


def _own_key(case: Any) -> None:
    """The same key for the same body only. A key that is to be refused stays as it is."""
    key = case.headers.get(KEY) if isinstance(case.headers, MutableMapping) else None
    if isinstance(key, str) and VALID_KEY.fullmatch(key):
        case.headers[KEY] = key[:64] + hashlib.sha256(repr(case.body).encode()).hexdigest()


def _sensible(body: dict[str, Any]) -> dict[str, Any]:
    for kind in FILES:
        file = body.get(kind)
        if isinstance(file, dict) and isinstance(file.get("url"), str) and "mediaId" not in file:
            named = {name: value for name, value in file.items() if name != "url"}
            body = {**body, kind: {**named, "mediaId": "0a1b"}}
    deleted, options = body.get("delete"), body.get("options")
    if isinstance(deleted, dict):
        body = {**body, "delete": {name: value for name, value in deleted.items() if name != "sender"}}
    if isinstance(options, dict) and body.keys() & {"reaction", "edit", "delete"}:
        body = {
            **body,
            "options": {
                name: value for name, value in options.items() if name not in {"quoted", "ephemeralExpiration"}
            },
        }
    return body
