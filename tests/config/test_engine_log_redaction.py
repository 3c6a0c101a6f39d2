"""No secret passes; what operators need does."""

from __future__ import annotations

import pytest

from config.engine_log_redaction import MAX_CHARACTERS, redact

QR = "https://wa.me/settings/linked_devices#2@vWDlZiCyTWbbme96wyl0ECloLAfN8yZU3do9u+5e,6lJ4JW0gGsZ00fwGfkq8el1MjTu3SnKf9EO0LSiNDEI=,TQ4v6jU=,cVK=,1"


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        (f"Emitting QR code {QR}", "vWDlZiCy"),
        (
            "Emitting QR code 2@vWDlZiCyTWbbme96wyl0ECloLAfN8yZU3do9u,6lJ4JW0gGsZ00fwGfkq8el1MjTu3SnKf9EO0LSiNDEI=",
            "6lJ4",
        ),
        ("Pair Code:  ABCD-1234", "ABCD-1234"),
        ("pairing code is K7QX-9ZWM now", "K7QX"),
        ("key 6lJ4JW0gGsZ00fwGfkq8el1MjTu3SnKf9EO0LSiNDEI=", "6lJ4"),
        ("identity " + "0a" * 32, "0a0a0a"),
        ("identity " + " ".join(["0A"] * 32), "0A 0A 0A 0A"),
        (
            'Node handling is taking long for <message from="79000000002@s.whatsapp.net"><enc>c2VjcmV0</enc></message>',
            "c2VjcmV0",
        ),
        ('{"conversation": "meet me at nine"}', "nine"),
        ("text='meet me at nine' id=1", "nine"),
        ('caption: "meet me"', "meet"),
        ("Failed to send to 79000000002@s.whatsapp.net", "79000000002"),
        ("Failed to send to 79000000002:14@s.whatsapp.net", "79000000002"),
        ("no LID found for 100000000000002_1:0@lid from server", "100000000000002"),
        ("group 120363000000000000@g.us", "120363000000000000"),
        ("calling +79000000002 again", "79000000002"),
    ],
)
def test_secrets_are_taken_out(line: str, secret: str) -> None:
    """QR codes, pairing codes, keys, message text; numbers are shortened."""
    said = redact(line)

    assert secret not in said
    assert said != ""


@pytest.mark.parametrize("line", ["\u2588\u2588 \u2584\u2580\u2584 \u2588\u2588", "Press Ctrl+C to exit", "  ", ""])
def test_worthless_lines_disappear(line: str) -> None:
    """A QR picture, the library's hint to the user of a terminal, an empty line."""
    assert redact(line) == ""


@pytest.mark.parametrize(
    "line",
    [
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "goroutine 239 [running]:",
        "[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x7fc13f4a3889]",
        "\tgo.mau.fi/whatsmeow/connectionevents.go:144 +0x669",
        "Error reading from websocket: failed to get reader: failed to read frame header: EOF",
        "Client outdated (405) connect failure (client version: 2.3000.1047769893)",
        "failed to dial whatsapp web websocket: proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused",
        "cannot open: unknown_schema: whatsmeow schema (16, 8) where (15, 8) was expected",
        "2026-11-21 01:35:02.123456 something",
    ],
)
def test_what_operators_need_stays(line: str) -> None:
    """Crashes, network errors and our own sentences are logged as they are."""
    assert redact(line) == line.rstrip()


def test_of_a_protocol_node_only_the_reason_is_left() -> None:
    """The failure's code is logged, the rest of the node is not."""
    said = redact('Unknown connect failure: <failure reason="409" location="abc" message="x"/>')

    assert said == 'Unknown connect failure: <failure reason="409" …>'


def test_shortened_numbers_can_be_told_apart() -> None:
    """The first and last two digits stay."""
    assert redact("to 79000000042@s.whatsapp.net") == "to 79…42@s.whatsapp.net"


def test_a_long_line_is_cut() -> None:
    """A log line has a limit."""
    assert len(redact("a b " * 1000)) == MAX_CHARACTERS + 1


@pytest.mark.parametrize(
    "line", [f"Emitting {QR}", "Pair Code: ABCD-1234", "to 79000000042@s.whatsapp.net", 'x <a b="1"/> y']
)
def test_redacting_twice_changes_nothing(line: str) -> None:
    """The engine and the daemon both do it."""
    assert redact(redact(line)) == redact(line)
