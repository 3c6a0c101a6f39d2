"""Names for actors, with an index from actors to names, so that an end costs only the actor's own names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from supervisor.errors import ActorStopped, NameTaken, NoSuchActor, TooMany
from supervisor.messaging.ref import ActorRef, cell_of
from supervisor.tree.phase import Phase

if TYPE_CHECKING:
    from supervisor.tree.node import Node

MAX_NAMES: Final = 100
"""The most names that one actor may have."""


@final
class Registry:
    """A name belongs to one place in the tree, across restarts, until it is unregistered or the place is forgotten."""

    __slots__ = ("_names", "_nodes")

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._names: dict[Node, set[str]] = {}

    def register(self, name: str, ref: ActorRef) -> None:
        """Name an actor. Repeating it is no error. Raises `NameTaken`, `ActorStopped` (the actor is gone), `TooMany`."""
        node = cell_of(ref)
        holder = self._nodes.get(name, node)
        if holder is not node:
            raise NameTaken(name, holder.path)
        if node.phase is Phase.GONE:
            raise ActorStopped(node.path, "is gone")
        if len(self._names.get(node, ())) >= MAX_NAMES:
            raise TooMany(node.path, "names", MAX_NAMES)
        self._nodes[name] = node
        self._names.setdefault(node, set()).add(name)

    def unregister(self, name: str) -> None:
        """Free a name. Raises `NoSuchActor` when it is not registered."""
        node = self._nodes.pop(name, None)
        if node is None:
            raise NoSuchActor(f"(name) {name}")
        names = self._names[node]
        names.discard(name)
        if not names:
            del self._names[node]

    def whereis(self, name: str) -> ActorRef | None:
        """Return the actor of that name, None when it is not registered."""
        node = self._nodes.get(name)
        return node.ref if node is not None else None

    def release(self, node: Node) -> None:
        """Free all names of a place."""
        for name in self._names.pop(node, ()):
            del self._nodes[name]
