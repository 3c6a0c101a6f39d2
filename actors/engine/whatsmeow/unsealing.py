"""Decrypts what a message holds under an earlier message's secret, with the secrets in the company's device file."""

from __future__ import annotations

from typing import Any, Protocol

from actors.engine.whatsmeow.events import Incoming
from actors.engine.whatsmeow.message_secrets import Sealed, Secret, open_sealed, part_of
from actors.engine.whatsmeow.polls import Polls


class KnownSecrets(Protocol):
    """What this module needs of a device file."""

    @property
    def polls(self) -> Polls: ...
    def complete(self, party: dict[str, Any]) -> None: ...
    def secrets(self, message_id: str, chat: list[str]) -> list[tuple[bytes, str]]: ...


def note_secrets(e2e: Any, file: KnownSecrets, event: Incoming) -> None:
    """Keep a poll's options, and put the decrypted content of a sealed event into its payload. The payload stays unchanged when the
    secret is not known or the content cannot be read. ``event`` names its chat and sender by all known addresses."""
    if event.payload["kind"] == "poll":
        file.polls.keep(addresses(event.payload["chat"]), event.payload["messageId"], event.payload["poll"]["options"])
    if event.sealed is None:
        return
    inside = _opened(file, event, event.sealed)
    if inside is None:
        return
    chat = addresses(event.payload["chat"])
    try:
        part = part_of(e2e, event.sealed, inside, lambda poll: file.polls.options(chat, poll))
    except Exception:  # noqa: BLE001 - protobuf's errors have no common type that the library exports; the sender's bytes decide
        return
    event.payload.pop("undecryptable", None)
    event.payload.update(part)


def addresses(party: dict[str, Any]) -> list[str]:
    """Return every known address of a chat or person."""
    return sorted({party[name] for name in ("id", "pn", "lid") if party[name] is not None})


def _opened(file: KnownSecrets, event: Incoming, sealed: Sealed) -> bytes | None:
    senders = addresses(event.payload["sender"])
    found = file.secrets(sealed.target, addresses(event.payload["chat"]))
    return open_sealed(sealed, senders, [Secret(key, _authors(file, author)) for key, author in found])


def _authors(file: KnownSecrets, author: str) -> tuple[str, ...]:
    """Return the number and the LID of a message's author."""
    party: dict[str, Any] = {"id": author, "pn": None, "lid": None}
    party["lid" if author.endswith("@lid") else "pn"] = author
    file.complete(party)
    return tuple(addresses(party))
