"""Signatures by which a receiver verifies a delivery: HMAC-SHA-256 under the webhook's secret. docs/webhooks.md is the contract."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from storage.tables.webhook_secrets import Secrets

PLAIN: Final = "X-Hub-Signature-256"
TIMED: Final = "X-Wasup-Signature"


def signatures(body: bytes, secrets: Secrets, timestamp: int) -> list[tuple[str, str]]:
    """Return the two headers of a delivery.

    `X-Hub-Signature-256` has room for one signature: while two secrets are valid it is made with the older one, which every receiver
    knows. `X-Wasup-Signature` also signs the time, so that an old delivery cannot be replayed, and has a signature for each secret.
    """
    valid = [secrets.current] if secrets.previous is None else [secrets.current, secrets.previous]
    timed = b"%d.%s" % (timestamp, body)
    parts = [f"t={timestamp}", *(f"v1={_hmac(secret, timed)}" for secret in valid)]
    return [(PLAIN, f"sha256={_hmac(valid[-1], body)}"), (TIMED, ",".join(parts))]


def _hmac(secret: str, content: bytes) -> str:
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
