"""Errors on the way to WhatsApp, in words for operators."""

from __future__ import annotations

import pytest

from actors.company.disconnect_policy import classify
from actors.company.trouble import in_words
from actors.engine.protocol.messages import Closed

DIAL = (
    'failed to dial whatsapp web websocket: failed to send handshake request: Get "https://web.whatsapp.com/ws/chat": '
)


@pytest.mark.parametrize(
    ("raw", "what", "check"),
    [
        ("dial tcp: lookup web.whatsapp.com on 192.0.2.53:53: no such host", "name of WhatsApp's servers", "DNS"),
        (
            "lookup web.whatsapp.com on 192.0.2.53:53: dial udp 192.0.2.53:53: connect: network is unreachable",
            "no way",
            "routes",
        ),
        ("dial tcp 192.0.2.1:443: connect: connection refused", "refused or cut", "firewall"),
        ("dial tcp 192.0.2.1:443: i/o timeout", "do not answer", "port 443"),
        ("context deadline exceeded", "do not answer", "firewall"),
        (
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "intercepted",
            "SSL_CERT_FILE",
        ),
        (
            "socks connect tcp 127.0.0.1:1080->web.whatsapp.com:443: dial tcp 127.0.0.1:1080: connection refused",
            "proxy",
            "WASUP_PROXY",
        ),
        ("something new", "cannot be reached", "internet connection"),
    ],
)
def test_network_errors(raw: str, what: str, check: str) -> None:
    """What is wrong, then what to check, and the error's own text apart from both."""
    said = in_words(DIAL + raw)
    words, _, bracket = said.partition(" [")
    wrong, _, to_check = words.partition(": check ")

    assert what in wrong
    assert check in to_check
    assert bracket == (DIAL + raw)[:300] + "]"
    assert "dial" not in words


@pytest.mark.parametrize("text", ["the messages have to be delivered again", "pairing ended: err-client-outdated", ""])
def test_other_texts_stay(text: str) -> None:
    """They are in words already."""
    assert in_words(text) == text


@pytest.mark.parametrize("kind", ["pairing_failed", "connect_failure", "disconnected"])
def test_every_closing_is_in_words(kind: str) -> None:
    """While a company is being linked, and when it is linked."""
    verdict = classify(Closed(kind=kind, text=DIAL + "network is unreachable"))  # type: ignore[arg-type]  # sampled from the literal

    assert verdict.reason.startswith("this machine has no way to the internet: check")
