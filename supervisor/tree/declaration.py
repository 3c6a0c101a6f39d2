"""Makes and changes the places of the children that a spec declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from supervisor.errors import SpecError
from supervisor.tree.choices import Ignored
from supervisor.tree.phase import Phase
from supervisor.tree.spec import ChildSpec, SupervisorSpec
from supervisor.tree.validation import check_children

if TYPE_CHECKING:
    from supervisor.tree.node import Node
    from supervisor.tree.ordered import OrderedSupervisor


def declared_children(tree_spec: SupervisorSpec) -> Sequence[ChildSpec] | None:
    """Return the children to start, None for "nothing to run". Raises the errors of the spec's function, and `SpecError`."""
    if not callable(tree_spec.children):
        return tree_spec.children
    specs = tree_spec.children()
    if isinstance(specs, Ignored):
        return None
    check_children(specs, tree_spec.auto_shutdown, ChildSpec)
    return specs


def declare(supervisor: OrderedSupervisor, specs: Sequence[ChildSpec]) -> None:
    """Make places for the children of a spec, in its order; existing places are kept, others are forgotten."""
    present = dict(supervisor.children)
    supervisor.children.clear()
    for spec in specs:
        supervisor.children[spec.id] = _place(supervisor, present, spec)
    for node in present.values():
        node.forget()
    supervisor.declared = frozenset(supervisor.children)


def redeclare(supervisor: OrderedSupervisor, tree_spec: SupervisorSpec) -> bool:
    """Change the spec of a running supervisor, as OTP's code change does. Return whether there was anything to change.

    Running children go on and take their new spec at their next start; new children are added without being started;
    children that the spec no longer names stay until the supervisor restarts. Raises `SpecError` with nothing changed,
    and the errors of the spec's function.
    """
    specs = declared_children(tree_spec)
    if specs is None:
        return False
    for spec in specs:
        _check_kind(supervisor.children.get(spec.id), spec)
    present = dict(supervisor.children)
    supervisor.children.clear()
    for spec in specs:
        is_new = spec.id not in present
        node = supervisor.children[spec.id] = _place(supervisor, present, spec)
        if is_new:
            node.enter(Phase.IDLE)
            node.retire()
    supervisor.children.update(present)
    supervisor.declared = frozenset(spec.id for spec in specs)
    supervisor.tree_spec = tree_spec
    return True


def _place(supervisor: OrderedSupervisor, present: dict[str, Node], spec: ChildSpec) -> Node:
    node = present.get(spec.id)
    if node is None or not _is_same_kind(node.spec, spec):
        return supervisor.runtime.make_node(supervisor, spec)
    del present[spec.id]
    node.adopt(spec)
    return node


def _check_kind(node: Node | None, spec: ChildSpec) -> None:
    if node is not None and not _is_same_kind(node.spec, spec):
        text = "an actor cannot become a supervisor, nor one kind of supervisor the other"
        raise SpecError(f"child {spec.id!r}: start", text)


def _is_same_kind(one: ChildSpec, other: ChildSpec) -> bool:
    if one.is_supervisor or other.is_supervisor:
        return type(one.start) is type(other.start)
    return True
