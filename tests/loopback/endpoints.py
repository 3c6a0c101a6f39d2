"""Where a loopback WhatsApp is, and what a client process needs to find and trust it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

SITECUSTOMIZE: Final = Path(__file__).with_name("sitecustomize")
ROOT_KEY_VARIABLE: Final = "LOOPBACK_ROOT_KEY"


class Endpoints(msgspec.Struct, frozen=True):
    """Addresses and keys of one running loopback; the line that ``python -m tests.loopback`` prints."""

    proxy_url: str
    """The CONNECT proxy, for clients that speak TLS (neonize, and so wasup: WASUP_PROXY)."""
    websocket_url: str
    """The WebSocket without TLS (Baileys: waWebSocketUrl)."""
    ca_file: str
    """PEM file of the authority that signed the TLS certificate."""
    root_key: str
    """The Noise root key in hexadecimal."""
    control: str = ""
    """Path of the control socket; empty for a loopback in the same process."""

    def environment(self, inherited: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment for a process that loads neonize: ``inherited`` (default: ours) with three variables set."""
        base = dict(os.environ if inherited is None else inherited)
        path = [str(SITECUSTOMIZE), *filter(None, [base.get("PYTHONPATH")])]
        return base | {
            "SSL_CERT_FILE": self.ca_file,
            "PYTHONPATH": os.pathsep.join(path),
            ROOT_KEY_VARIABLE: self.root_key,
        }
