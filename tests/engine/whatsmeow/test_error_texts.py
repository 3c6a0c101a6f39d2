"""What the error texts of whatsmeow mean."""

from __future__ import annotations

import pytest

from actors.engine.whatsmeow.error_texts import (
    closing_from_login_status,
    code_of,
    failed_write,
    group_code_of,
    is_database_error,
    is_media_gone,
)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("failed to store session: database or disk is full", "storage_full"),
        ("failed to send message node: websocket not connected", "not_connected"),
        ("info query failed: websocket disconnected before info query returned response", "timeout"),
        ("the store doesn't contain a device JID", "not_linked"),
        ("failed to get group members: you're not participating in that group", "not_in_group"),
        ("failed to get group members: that group does not exist", "no_such_group"),
        ("failed to get LID: no LID found for 79000000001@s.whatsapp.net from server", "no_such_recipient"),
        ("info query timed out", "timeout"),
        ("context deadline exceeded", "timeout"),
        ("server returned error 479", "rejected"),
        ("can't send message to unknown server x", "rejected"),
        ("an error that no release had before", "engine_error"),
    ],
)
def test_an_error_has_a_code(text: str, code: str) -> None:
    """The one of the engine's protocol; a text that is not known is the engine's own error."""
    assert code_of(text) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("server returned error 403", "not_in_group"),
        ("server returned error 404", "no_such_group"),
        ("server returned error 420", None),
        ("server returned error 4030", None),
    ],
)
def test_a_group_s_refusal_has_a_code_of_its_own(text: str, code: str | None) -> None:
    """Read from the status at the end; another status keeps the general one."""
    assert group_code_of(text) == code


@pytest.mark.parametrize(
    ("text", "is_gone"),
    [
        ("download failed with status code 403", True),
        ("download failed with status code 404", True),
        ("download failed with status code 410", True),
        ("download failed with status code 500", False),
        ("invalid media hmac", False),
    ],
)
def test_a_file_that_whatsapp_deleted_is_gone(text: str, *, is_gone: bool) -> None:
    """Other failures of a download may pass."""
    assert is_media_gone(text) == is_gone


def test_a_list_of_devices_may_be_an_error() -> None:
    """The library says so with its first word."""
    assert is_database_error("error: unable to open database file")
    assert not is_database_error("")


@pytest.mark.parametrize(
    "text",
    [
        "Error decrypting message 3EB0 from 1@lid: failed to decrypt normal message: failed to store session: database or disk is full",
        "Failed to store LID-PN mapping for 1@lid -> 2@s.whatsapp.net: disk I/O error: no space left on device",
        "Failed to save push name of 1@lid in device store: attempt to write a readonly database",
        "failed to prefetch sessions: unable to open database file: read-only file system",
    ],
)
def test_a_write_that_failed_is_recognised(text: str) -> None:
    """By SQLite's words at the end, with or without the system's own."""
    said = failed_write(text)

    assert said is not None
    assert text.endswith(said)
    assert "@" not in said


@pytest.mark.parametrize(
    "text",
    [
        "Error decrypting message database or disk is full from 1@lid: failed to decrypt normal message: mismatching MAC",
        "Error decrypting message 3EB0 from 1@lid: failed to store session: wasup: the session was changed meanwhile",
        "Failed to send acknowledgement for message 3EB0: websocket not connected",
        "",
    ],
)
def test_other_texts_are_not(text: str) -> None:
    """A text that another person chose, as the id of a message, cannot make a company leave."""
    assert failed_write(text) is None


@pytest.mark.parametrize(("status", "used_up", "kind"), [
    ("success", False, None), ("err-client-outdated", False, "outdated"), ("timeout", True, "pairing_failed"),
    ("timeout", False, "pairing_failed"), ("error", False, "pairing_failed"), ("err-unexpected-state", False, "pairing_failed"),
    ("err-scanned-without-multidevice", False, None),
])  # fmt: skip
def test_the_end_of_an_offer(status: str, kind: str | None, *, used_up: bool) -> None:
    """Every word with which the library ends an offer has a meaning."""
    found = closing_from_login_status(status, used_up=used_up)

    assert (found.kind if found else None) == kind


def test_a_lost_socket_is_not_called_a_missing_scan() -> None:
    """The library says `timeout` to both; the text says which it was."""
    lost, unscanned = (closing_from_login_status("timeout", used_up=used_up) for used_up in (False, True))

    assert lost is not None
    assert unscanned is not None
    assert "connection was lost" in lost.text
    assert "no phone scanned" in unscanned.text
