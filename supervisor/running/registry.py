"""Names for actors, with the way back from the actor to its names: an end costs only its own names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from supervisor.errors import ActorStopped, NameTaken, NoSuchActor, TooMany
from supervisor.messaging.ref import ActorRef, cell_of
from supervisor.tree.phase import Phase

if TYPE_CHECKING:
    from supervisor.tree.node import Node

MAX_NAMES: Final = 100
"""Names one actor may have."""


@final
class Registry:
    """A name belongs to one place in the tree, through restarts, until it is unregistered or the place is forgotten."""

    __slots__ = ("_names", "_nodes")

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._names: dict[Node, set[str]] = {}

    def register(self, name: str, ref: ActorRef) -> None:
        """Name an actor. Repeating it is no error. Raises `NameTaken`, `ActorStopped` (it is gone), `TooMany`."""
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
        """Free a name. Raises `NoSuchActor` when nobody has it."""
        node = self._nodes.pop(name, None)
        if node is None:
            raise NoSuchActor(f"(name) {name}")
        names = self._names[node]
        names.discard(name)
        if not names:
            del self._names[node]

    def whereis(self, name: str) -> ActorRef | None:
        """The actor of that name, None when nobody has it."""
        node = self._nodes.get(name)
        return node.ref if node is not None else None

    def release(self, node: Node) -> None:
        """Free all names of a place."""
        for name in self._names.pop(node, ()):
            del self._nodes[name]
