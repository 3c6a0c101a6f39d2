"""Supervisors with children added and removed at run time: no order, each restarts alone, all stop together."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from supervisor.errors import SpecError, TooManyChildren
from supervisor.introspection.report import SHUTDOWN, ExitReason
from supervisor.tree.node import Node
from supervisor.tree.phase import Phase
from supervisor.tree.restarts import RestartingSupervisor
from supervisor.tree.spec import ChildSpec, DynamicSupervisorSpec
from supervisor.tree.supervisor import SupervisorCell

if TYPE_CHECKING:
    from supervisor.running.runtime import Runtime
    from supervisor.tree.intensity import Intensity


@final
class DynamicSupervisor(RestartingSupervisor):
    """Children start concurrently and stop in parallel, each within its own shutdown time."""

    __slots__ = ("tree_spec",)

    def __init__(
        self,
        runtime: Runtime,
        parent: SupervisorCell | None,
        spec: ChildSpec,
        path: str,
        tree_spec: DynamicSupervisorSpec,
    ) -> None:
        self.tree_spec = tree_spec
        super().__init__(runtime, parent, spec, path)

    @property
    def intensity(self) -> Intensity:
        return self.tree_spec.intensity

    def adopt(self, spec: ChildSpec) -> None:
        super().adopt(spec)
        if isinstance(spec.start, DynamicSupervisorSpec):
            self.tree_spec = spec.start

    def check_room(self, spec: ChildSpec) -> None:
        limit = self.tree_spec.max_children
        if limit is not None and len(self.children) >= limit:
            raise TooManyChildren(self.path, limit)
        if spec.significant:
            raise SpecError(f"child {spec.id!r}: significant", "a dynamic supervisor has no significant children")

    def boot(self) -> None:
        self.acked()

    def wind_down(self) -> None:
        for node in tuple(self.children.values()):
            if node.is_live:
                node.halt(SHUTDOWN, returning=False)
            else:
                self.drop(node)

    def outlives(self, node: Node) -> bool:
        return False

    def forgets(self, node: Node) -> bool:
        return True

    def settled(self, node: Node) -> None:
        pass

    def schedule(self, node: Node, delay: float) -> None:
        if delay > 0:
            node.back_off(delay)
        else:
            node.launch()

    def spend(self, node: Node, now: float) -> bool:
        own = node.count_restart(self.intensity, now)
        return own if self.tree_spec.intensity_per_child else self.budget.record(now)

    def overspent(self, node: Node, reason: ExitReason) -> None:
        if not self.tree_spec.intensity_per_child:
            super().overspent(node, reason)
            return
        node.enter(Phase.FAILED)
        self.emit("gave_up", node, reason=reason)
        node.retire("was given up: it crashed too often")
