"""Reads a browser's response to WhatsApp's request for a passkey, checks it against the request, and converts it for WhatsApp. Pure.

Only the account's authenticator can make a response that WhatsApp accepts; only mistakes that a caller can correct are checked here.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec

from config.json_text import read_json

ORIGIN: Final = "https://web.whatsapp.com"
MAX_OPTIONS_BYTES: Final = 64 * 1024
MAX_ASSERTION_BYTES: Final = 64 * 1024
_TYPE: Final = "public-key"
_GET: Final = "webauthn.get"
_RP_HASH_SIZE: Final = 32


class BadOptions(Exception):
    """The server's request cannot be understood."""


class BadAssertion(Exception):
    """The response does not belong to the request; the text says why and what would be right."""


class _Credential(msgspec.Struct):
    id: str


class _Options(msgspec.Struct, rename="camel"):
    challenge: str
    rp_id: str = ""
    allow_credentials: list[_Credential] | None = None


class _Response(msgspec.Struct, rename={"client_data": "clientDataJSON"}):
    client_data: str
    authenticatorData: str  # noqa: N815 - as WebAuthn has it
    signature: str
    userHandle: str | None = None  # noqa: N815 - as WebAuthn has it


class _Answer(msgspec.Struct):
    id: str
    rawId: str  # noqa: N815 - as WebAuthn has it
    type: str
    response: _Response


class _ClientData(msgspec.Struct):
    type: str
    challenge: str
    origin: str


@dataclass(frozen=True, slots=True)
class Options:
    """WhatsApp's request, ``PublicKeyCredentialRequestOptionsJSON``."""

    json: bytes
    challenge: bytes
    rp_id: str
    credentials: frozenset[bytes]
    """Ids of the accepted passkeys; empty: any of the account's."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A response that fits a request."""

    credential_id: bytes
    json: bytes
    """The response as WhatsApp's clients send it: only the fields WhatsApp knows, base64url without padding."""


def read_options(data: bytes) -> Options:
    """Read WhatsApp's request. Raise `BadOptions` for anything but a request with a challenge."""
    if len(data) > MAX_OPTIONS_BYTES:
        raise BadOptions(f"WhatsApp's request for a passkey has {len(data)} bytes, {MAX_OPTIONS_BYTES} are the most")
    try:
        found = read_json(data, _Options)
        challenge = _bytes(found.challenge)
        credentials = frozenset(_bytes(one.id) for one in found.allow_credentials or ())
    except (msgspec.DecodeError, ValueError) as error:
        raise BadOptions("WhatsApp's request for a passkey cannot be read") from error
    if not challenge:
        raise BadOptions("WhatsApp's request for a passkey has no challenge")
    return Options(data, challenge, found.rp_id, credentials)


def read_assertion(data: bytes, options: Options) -> Assertion:
    """Read the JSON of ``PublicKeyCredential.toJSON()``. Raise `BadAssertion`."""
    if len(data) > MAX_ASSERTION_BYTES:
        raise BadAssertion(f"the response has {len(data)} bytes, {MAX_ASSERTION_BYTES} are the most")
    try:
        answer = read_json(data, _Answer)
        raw_id = _bytes(answer.rawId)
        parts = {name: _bytes(value) for name, value in _parts(answer.response)}
        client = read_json(parts["clientDataJSON"], _ClientData)
        challenge = _bytes(client.challenge)
    except (msgspec.DecodeError, ValueError) as error:
        raise BadAssertion("this is not what PublicKeyCredential.toJSON() gives: send that object as it is") from error
    _check(answer, raw_id, parts, client, challenge, options)
    return Assertion(raw_id, _for_whatsapp(answer, raw_id, parts))


def _parts(response: _Response) -> list[tuple[str, str]]:
    return [
        ("clientDataJSON", response.client_data),
        ("authenticatorData", response.authenticatorData),
        ("signature", response.signature),
        *([("userHandle", response.userHandle)] if response.userHandle is not None else []),
    ]


def _check(
    answer: _Answer, raw_id: bytes, parts: dict[str, bytes], client: _ClientData, challenge: bytes, options: Options
) -> None:
    if answer.type != _TYPE or client.type != _GET or not raw_id:
        raise BadAssertion("this is not the response to navigator.credentials.get() with a passkey")
    if challenge != options.challenge:
        raise BadAssertion("this response answers another request: take the present options and try again")
    if client.origin != ORIGIN:
        raise BadAssertion(f"the response was made at another origin: it must be made on a page of {ORIGIN}")
    if options.credentials and raw_id not in options.credentials:
        raise BadAssertion("the response was made with a passkey of another account")
    data = parts["authenticatorData"]
    if options.rp_id and data[:_RP_HASH_SIZE] != sha256(options.rp_id.encode()).digest():
        raise BadAssertion(f"the passkey is for another site than {options.rp_id}")
    if not parts["signature"]:
        raise BadAssertion("the response has no signature")


def _for_whatsapp(answer: _Answer, raw_id: bytes, parts: dict[str, bytes]) -> bytes:
    response: dict[str, Any] = {name: _text(value) for name, value in parts.items()}
    response.setdefault("userHandle", None)
    return msgspec.json.encode({"id": answer.id, "rawId": _text(raw_id), "type": answer.type, "response": response})


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Decode base64url, with or without padding. Raise ValueError."""
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
