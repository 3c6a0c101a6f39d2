"""The two authorities that clients must trust: a TLS one (a file for SSL_CERT_FILE) and the Noise root key."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Final

import trustme

from tests.loopback import protobuf
from tests.loopback.curve import KeyPair

TLS_NAMES: Final = ("web.whatsapp.com", "*.whatsapp.net", "*.whatsapp.com", "*.cdn.whatsapp.net")
_LEAF, _INTERMEDIATE = 1, 2
_DETAILS, _SIGNATURE = 1, 2
_SERIAL, _ISSUER, _KEY, _NOT_BEFORE, _NOT_AFTER = 1, 2, 3, 4, 5
_ROOT_SERIAL: Final = 0
_INTERMEDIATE_SERIAL: Final = 1
_LEAF_SERIAL: Final = 2
_VALID_S: Final = 365 * 86_400


class Authority:
    """Fresh keys for one loopback WhatsApp; only the CA file outlives the process."""

    def __init__(self) -> None:
        self._root = KeyPair.generate()
        self._intermediate = KeyPair.generate()
        self._ca = trustme.CA(organization_name="loopback WhatsApp")
        self.static = KeyPair.generate()
        self._chain = self._sign_chain(self.static.public)

    @property
    def root_key(self) -> bytes:
        """The 32 bytes that must replace the root key pinned in a client."""
        return self._root.public

    def noise_chain(self, static_key: bytes) -> bytes:
        """The certificate chain for a server static key; that of `static` is made once."""
        return self._chain if static_key == self.static.public else self._sign_chain(static_key)

    def write_ca(self, path: Path) -> None:
        """Write the TLS authority's certificate as PEM."""
        self._ca.cert_pem.write_to_path(path)

    def tls_context(self) -> ssl.SSLContext:
        """A server context for the hosts a client calls."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*TLS_NAMES).configure_cert(context)  # pyright: ignore[reportUnknownMemberType] - it also takes pyOpenSSL's, untyped
        return context

    def _sign_chain(self, static_key: bytes) -> bytes:
        intermediate = _certificate(self._root, _INTERMEDIATE_SERIAL, _ROOT_SERIAL, self._intermediate.public)
        leaf = _certificate(self._intermediate, _LEAF_SERIAL, _INTERMEDIATE_SERIAL, static_key)
        return protobuf.build({_LEAF: leaf, _INTERMEDIATE: intermediate})


def _certificate(issuer: KeyPair, serial: int, issuer_serial: int, key: bytes) -> bytes:
    now = int(time.time())
    details = protobuf.build(
        {_SERIAL: serial, _ISSUER: issuer_serial, _KEY: key, _NOT_BEFORE: now - _VALID_S, _NOT_AFTER: now + _VALID_S}
    )
    return protobuf.build({_DETAILS: details, _SIGNATURE: issuer.sign(details)})
