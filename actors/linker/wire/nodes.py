"""The unit of conversation with WhatsApp: a tag, attributes, and bytes, text or child nodes as content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from actors.linker.wire.jid import Jid


class MissingPartError(ValueError):
    """A node lacks something the protocol demands."""

    def __init__(self, node: Node, part: str) -> None:
        """``part`` names what is missing in ``node``."""
        super().__init__(f"<{node.tag}> has no {part}")
        self.part = part


@dataclass(frozen=True, slots=True)
class Node:
    """One element of binary XML. ``content`` None means empty; attribute values are text or addresses."""

    tag: str
    attrs: Mapping[str, str | Jid] = field(default_factory=dict[str, "str | Jid"])
    content: bytes | str | tuple[Node, ...] | None = None

    @property
    def children(self) -> tuple[Node, ...]:
        """The child nodes; empty for any other content."""
        return self.content if isinstance(self.content, tuple) else ()

    def find(self, tag: str) -> Node | None:
        """The first child with this tag."""
        return next((child for child in self.children if child.tag == tag), None)

    def child(self, tag: str) -> Node:
        """The first child with this tag, or MissingPartError."""
        found = self.find(tag)
        if found is None:
            raise MissingPartError(self, f"<{tag}>")
        return found

    def all(self, tag: str) -> Iterator[Node]:
        """Every child with this tag, in order."""
        return (child for child in self.children if child.tag == tag)

    @property
    def data(self) -> bytes:
        """The content as bytes (text is encoded), or MissingPartError when there is none."""
        if isinstance(self.content, bytes):
            return self.content
        if isinstance(self.content, str):
            return self.content.encode()
        raise MissingPartError(self, "bytes")

    def text(self, name: str, default: str | None = None) -> str:
        """An attribute as text, ``default`` or MissingPartError when it is absent."""
        value = self.attrs.get(name, default)
        if value is None:
            raise MissingPartError(self, f"attribute {name}")
        return str(value)

    def jid(self, name: str) -> Jid:
        """An attribute that must be an address, or MissingPartError."""
        value = self.attrs.get(name)
        if not isinstance(value, Jid):
            raise MissingPartError(self, f"address in attribute {name}")
        return value

    def find_jid(self, name: str) -> Jid | None:
        """An attribute when it is an address, else None."""
        value = self.attrs.get(name)
        return value if isinstance(value, Jid) else None

    def with_attrs(self, **attrs: str | Jid) -> Node:
        """A copy with these attributes set (a trailing underscore in a name is dropped)."""
        return Node(self.tag, {**self.attrs, **_named(attrs)}, self.content)


def node(tag: str, *children: Node, **attrs: str | Jid) -> Node:
    """Build a node of child nodes; ``from_`` and ``type_`` stand for attributes that Python reserves."""
    return Node(tag, _named(attrs), children or None)


def leaf(tag: str, content: bytes, **attrs: str | Jid) -> Node:
    """Build a node of bytes."""
    return Node(tag, _named(attrs), content)


def _named(attrs: Mapping[str, str | Jid]) -> dict[str, str | Jid]:
    return {name.rstrip("_"): value for name, value in attrs.items()}
