"""Nodes that wait for a device until the device has acknowledged them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from actors.linker.wire.nodes import Node

MAX_STORED: Final = 20_000


class Key(NamedTuple):
    """What an acknowledgement names. Of a message only the id: receipts name its sender in more than one form."""

    tag: str
    id: str
    sender: str
    type: str
    participant: str = ""
    """In groups receipts of one message come from many."""


class MailboxFullError(Exception):
    """A device that never acknowledges anything has more waiting than the loopback keeps."""


class Mailbox:
    """Nodes in the order they came, each until it is acknowledged."""

    def __init__(self) -> None:
        self._nodes: dict[Key, Node] = {}

    def __len__(self) -> int:
        """How many nodes wait."""
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        """The waiting nodes, oldest first."""
        return iter(tuple(self._nodes.values()))

    def put(self, node: Node) -> None:
        """Keep ``node``; one with the same key is replaced. MailboxFullError beyond 20,000."""
        if len(self._nodes) >= MAX_STORED:
            raise MailboxFullError(f"{MAX_STORED} nodes wait for one device")
        participant = node.text("participant", "")
        key = _key(node.tag, node.text("id"), node.text("from"), node.text("type", ""), participant)
        self._nodes.pop(key, None)
        self._nodes[key] = node

    def acknowledge(self, tag: str, id_: str, sender: str, kind: str, participant: str = "") -> bool:
        """Forget what an acknowledgement names; False when no node matches."""
        return self._nodes.pop(_key(tag, id_, sender, kind, participant), None) is not None


def _key(tag: str, id_: str, sender: str, kind: str, participant: str) -> Key:
    return Key(tag, id_, "", "") if tag == "message" else Key(tag, id_, sender, kind, participant)
