"""The certificate chain with which WhatsApp's servers prove their Noise key: two links under a root key that clients carry."""

from __future__ import annotations

import hmac
from typing import Any, Final

from actors.linker.wire.messages import Unreadable, parsed
from storage.baileys.curve import is_signed

ROOT_KEY: Final = bytes.fromhex("142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b")
_ROOT_SERIAL: Final = 0


class BadCertificate(ValueError):
    """The server is not WhatsApp, or its certificate is not valid now; the text says which."""


def check_chain(messages: Any, root_key: bytes, chain: bytes, static: bytes, now: float) -> None:
    """Raise `BadCertificate` unless ``chain`` proves that ``static`` is a server's key at ``now`` (Unix seconds)."""
    found = _parsed(messages.CertChain(), chain)
    intermediate = _details(messages, found.intermediate, root_key, "intermediate")
    if intermediate.issuerSerial != _ROOT_SERIAL:
        raise BadCertificate(f"the intermediate certificate was issued by {intermediate.issuerSerial}, not by the root")
    leaf = _details(messages, found.leaf, intermediate.key, "leaf")
    if leaf.issuerSerial != intermediate.serial:
        raise BadCertificate(f"the leaf certificate was issued by {leaf.issuerSerial}, not by {intermediate.serial}")
    if not hmac.compare_digest(leaf.key, static):
        raise BadCertificate("the certificate is for another key")
    for name, details in (("intermediate", intermediate), ("leaf", leaf)):
        if not details.notBefore <= now <= details.notAfter:
            raise BadCertificate(f"the {name} certificate is not valid now: check this machine's clock")


def _details(messages: Any, certificate: Any, issuer: bytes, name: str) -> Any:
    if not is_signed(issuer, certificate.details, certificate.signature):
        raise BadCertificate(f"the signature of the {name} certificate is wrong")
    return _parsed(messages.CertChain.NoiseCertificate.Details(), certificate.details)


def _parsed(message: Any, data: bytes) -> Any:
    try:
        return parsed(message, data)
    except Unreadable as error:
        raise BadCertificate("a certificate that cannot be read") from error
