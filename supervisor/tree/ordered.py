"""Supervisors whose children have an order: one_for_one, one_for_all, rest_for_one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, final

from supervisor.introspection.crash import crash_report
from supervisor.introspection.report import NORMAL, SHUTDOWN, ExitReason
from supervisor.tree.choices import AutoShutdown, Strategy
from supervisor.tree.declaration import declare, declared_children
from supervisor.tree.node import Node
from supervisor.tree.phase import Phase
from supervisor.tree.restarts import RestartingSupervisor
from supervisor.tree.spec import ChildSpec, SupervisorSpec
from supervisor.tree.supervisor import SupervisorCell

if TYPE_CHECKING:
    from supervisor.running.runtime import Runtime
    from supervisor.tree.intensity import Intensity


@final
class Sweep:
    """An ordered pass over children: first all ``halts`` stop, the last one first, then all ``starts`` start."""

    __slots__ = ("current", "halts", "starts", "waits_for")

    def __init__(self, halts: Iterable[Node], starts: Iterable[Node]) -> None:
        self.halts = dict.fromkeys(halts)
        self.starts = deque(starts)
        self.current: Node | None = None
        """The child whose start or end is awaited."""
        self.waits_for: Node | None = None
        """The child whose back-off must be over before any start."""

    def members(self) -> set[Node]:
        return {node for node in (*self.halts, *self.starts, self.current, self.waits_for) if node is not None}


@final
class OrderedSupervisor(RestartingSupervisor):
    """Starts and stops one child at a time; between the steps it serves its queue."""

    __slots__ = ("declared", "sweep", "tree_spec")

    def __init__(
        self, runtime: Runtime, parent: SupervisorCell | None, spec: ChildSpec, path: str, tree_spec: SupervisorSpec
    ) -> None:
        self.tree_spec = tree_spec
        self.sweep: Sweep | None = None
        super().__init__(runtime, parent, spec, path)
        self.declared: frozenset[str] = frozenset()
        """Ids of the spec's children; their places outlive this supervisor's incarnations."""
        if not callable(tree_spec.children):
            declare(self, tree_spec.children)

    @property
    def intensity(self) -> Intensity:
        return self.tree_spec.intensity

    def boot(self) -> None:
        try:
            specs = declared_children(self.tree_spec)
        except Exception as exc:  # noqa: BLE001 - an exception of the user's function is a failed start
            report = crash_report(exc, message_type=None, caller=None, at=self.runtime.unix_now(), skip=2)
            self.finish(ExitReason("crashed", f"{report.type}: {report.text}", report))
            return
        if specs is None:
            self.was_ignored = True
            self.finish(NORMAL)
            return
        declare(self, specs)
        for node in self.children.values():
            node.expect()
        self.sweep = Sweep((), self.children.values())
        self.advance()

    def adopt(self, spec: ChildSpec) -> None:
        super().adopt(spec)
        if isinstance(spec.start, SupervisorSpec):
            self.tree_spec = spec.start

    def wind_down(self) -> None:
        self.sweep = Sweep([node for node in self.children.values() if node.is_live], ())
        self.advance()

    def outlives(self, node: Node) -> bool:
        return node.spec.id in self.declared and not self.forgets(node)

    def expects_end(self, node: Node) -> bool:
        return self.sweep is not None and node in self.sweep.halts

    def schedule(self, node: Node, delay: float) -> None:
        if self.tree_spec.strategy is not Strategy.ONE_FOR_ONE:
            self._restart_group(node)
        if delay > 0:
            node.back_off(delay)
            if self.sweep is not None and self.tree_spec.strategy is not Strategy.ONE_FOR_ONE:
                self.sweep.waits_for = node
        elif self.tree_spec.strategy is Strategy.ONE_FOR_ONE:
            node.launch()
        self.advance()

    def resume(self, node: Node) -> None:
        sweep = self.sweep
        if sweep is not None and sweep.waits_for is node:
            sweep.waits_for = None
            node.enter(Phase.PENDING)
            self.advance()
        else:
            node.launch()

    def settled(self, node: Node) -> None:
        sweep = self.sweep
        if sweep is None:
            return
        if sweep.waits_for is node:
            sweep.waits_for = None
        elif sweep.current is node:
            sweep.current = None
        else:
            return
        self.post(self.advance)

    def start_added(self, node: Node) -> None:
        """Start a child that was added or was not running. If the children are a group, it follows those of the running sweep."""
        if self.sweep is None or self.tree_spec.strategy is Strategy.ONE_FOR_ONE:
            node.launch()
        else:
            node.expect()
            self.sweep.starts.append(node)

    def child_left(self, node: Node, *, significant: bool) -> None:
        auto_shutdown = self.tree_spec.auto_shutdown
        if not significant or auto_shutdown is AutoShutdown.NEVER:
            return
        if auto_shutdown is AutoShutdown.ALL_SIGNIFICANT and any(
            other.spec.significant and other.phase not in (Phase.IDLE, Phase.FAILED) for other in self.children.values()
        ):
            return
        self.finish(ExitReason("shutdown", f"significant child {node.path} ended"))

    def advance(self) -> None:
        """Take the next step of the sweep, unless a step is in progress."""
        sweep = self.sweep
        if sweep is None or sweep.current is not None or self._halt_next(sweep):
            return
        if self.ending is not None or sweep.waits_for is not None or self._start_next(sweep):
            return
        self.sweep = None
        if not self.is_up:
            self.acked()

    def _halt_next(self, sweep: Sweep) -> bool:
        while sweep.halts:
            node, _ = sweep.halts.popitem()
            if node.is_live and not node.is_stuck:
                sweep.current = node
                node.halt(SHUTDOWN, returning=self.returns or self.ending is None)
                return True
        return False

    def _start_next(self, sweep: Sweep) -> bool:
        while sweep.starts:
            node = sweep.starts.popleft()
            if node.phase is Phase.PENDING or node.is_stuck:
                sweep.current = node
                node.launch()
                return True
        return False

    def _restart_group(self, node: Node) -> None:
        """Restart ``node`` and the children that the strategy names, including the remaining work of a running sweep."""
        order = list(self.children.values())
        first = 0
        if self.tree_spec.strategy is Strategy.REST_FOR_ONE:
            concerned = {node, *(self.sweep.members() if self.sweep is not None else ())}
            first = min(index for index, member in enumerate(order) if member in concerned)
        group = order[first:]
        for member in group:
            if not member.is_live or member is node:
                member.clear_alarm()
                member.expect()
        self.sweep = Sweep([member for member in group if member.is_live], group)
