"""The common part of all supervisors: one task that serves a queue of ended children and requests, and never waits for anything else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from trio.lowlevel import Abort, RaiseCancelT, Task, checkpoint, current_task, wait_task_rescheduled

from supervisor.errors import ActorStopped, SupervisorError, TooMany
from supervisor.introspection.report import EventKind, ExitReason
from supervisor.messaging.future import WOKEN, Future, reschedule
from supervisor.tree.choices import Restart
from supervisor.tree.decide import Stop
from supervisor.tree.intensity import Intensity, Window
from supervisor.tree.node import Node
from supervisor.tree.phase import Phase

if TYPE_CHECKING:
    from supervisor.running.runtime import Runtime
    from supervisor.tree.spec import ChildSpec

Request = Callable[["SupervisorCell", Any, Future[Any]], None]
"""Settles the future, now or later, or raises."""
MAX_REQUESTS: Final = 100_000
"""Requests that may wait for one supervisor."""


class SupervisorCell(Node):
    """Level-triggered: the queue names the child to look at, the child's own state says what happened."""

    __slots__ = ("budget", "children", "ending", "failed_child", "inbox", "is_acting", "live", "requests", "waiter")
    kind = "supervisor"

    def __init__(self, runtime: Runtime, parent: SupervisorCell | None, spec: ChildSpec, path: str) -> None:
        super().__init__(runtime, parent, spec, path)
        self.children: dict[str, Node] = {}
        self.live = 0
        """Children with a task, except those reported as stuck."""
        self.inbox: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        """Actions for the present incarnation."""
        self.requests: deque[tuple[Request, Any, Future[Any]]] = deque()
        """Requests to the supervisor, served by any incarnation."""
        self.waiter: Task | None = None
        self.is_acting = False
        """Whether another task is acting on behalf of this one, which is waiting."""
        self.ending: ExitReason | None = None
        self.failed_child: Node | None = None
        """The child whose failure kept the supervisor from starting."""
        self.budget = Window(self.intensity)
        self.box.close("is a supervisor and takes no messages")

    # --- for each kind of supervisor to define ----------------------------------------------------------------------

    @property
    def intensity(self) -> Intensity:
        raise NotImplementedError

    def boot(self) -> None:
        """Begin to start the declared children; call `acked` when they are ready."""
        raise NotImplementedError

    def wind_down(self) -> None:
        """Have all live children end; ``ending`` is set."""
        raise NotImplementedError

    def forgets(self, node: Node) -> bool:
        """Return whether a child that stays down is forgotten."""
        return node.spec.restart is Restart.TEMPORARY

    def outlives(self, node: Node) -> bool:
        """Return whether the child's place survives the end of this supervisor's incarnation."""
        raise NotImplementedError

    def child_started(self, node: Node) -> None:
        """Called in the child's task the moment it is ready."""
        raise NotImplementedError

    def child_ended(self, node: Node, incarnation: int) -> None:
        """Handle the end of the child's task; ``node.reason`` says why."""
        raise NotImplementedError

    def child_stuck(self, node: Node, incarnation: int) -> None:
        """Handle a child that was cancelled and does not end."""
        raise NotImplementedError

    def child_backed_off(self, node: Node, incarnation: int) -> None:
        """Handle the end of the child's delay."""
        raise NotImplementedError

    # --- the task ---------------------------------------------------------------------------------------------------

    def spawn(self) -> None:
        self.ending = self.failed_child = None
        self.inbox.clear()
        self.budget = Window(self.intensity)
        self.runtime.start_task(self.run, name=self.path)

    def post(self, action: Callable[..., object], *args: Any) -> None:
        """Have ``action(*args)`` called: at once, in the caller's task, if the supervisor is waiting; otherwise by
        its own task, in turn."""
        if self._is_at_rest():
            self._act(action, args)
        else:
            self.inbox.append((action, args))
            if not self.is_acting:
                self.wake()

    def _is_at_rest(self) -> bool:
        return self.waiter is not None and not self.is_acting and not self.inbox and not self.requests

    def _act(self, action: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.is_acting = True
        try:
            action(*args)
        finally:
            self.is_acting = False
            if self.inbox or self.requests or self._is_over():
                self.wake()

    def request(self, action: Request, what: Any, future: Future[Any]) -> None:
        """Have ``action(self, what, future)`` called as soon as an incarnation can serve it. Raises `ActorStopped`, `TooMany`."""
        if self.phase in (Phase.IDLE, Phase.FAILED, Phase.GONE):
            raise ActorStopped(self.path)
        if self.ending is not None and not self.returns:
            raise ActorStopped(self.path, "is stopping")
        if len(self.requests) >= MAX_REQUESTS:
            raise TooMany(self.path, "waiting requests", MAX_REQUESTS)
        if self._is_at_rest() and self.ending is None:
            self._act(self._serve_request, (action, what, future))
        else:
            self.requests.append((action, what, future))
            if not self.is_acting:
                self.wake()

    def wake(self) -> None:
        task = self.waiter
        if task is not None:
            self.waiter = None
            reschedule(task, WOKEN)

    async def run(self) -> None:
        """Run the task of one incarnation."""
        task = self.task = current_task()
        inbox, now, quantum = self.inbox, self.runtime.now, self.runtime.quantum
        if self.ending is None:
            self.boot()
        while not self._is_over():
            turn_ends = now() + quantum
            while inbox or (self.requests and self.ending is None):
                self._serve_next()
                if now() >= turn_ends:
                    await checkpoint()
                    turn_ends = now() + quantum
            if not self._is_over():
                self.waiter = task
                await wait_task_rescheduled(self._abort_wait)
        self._finish()

    def _serve_next(self) -> None:
        """Serve the next action or request. A separate method, so that no local variable of the task keeps a request alive."""
        if self.inbox:
            action, args = self.inbox.popleft()
            action(*args)
        else:
            self._serve_request(*self.requests.popleft())

    def _serve_request(self, action: Request, what: Any, future: Future[Any]) -> None:
        try:
            action(self, what, future)
        except Exception as error:  # noqa: BLE001 - a refusal, or an error of a spec's function, is the caller's
            future.fail(error)

    def _is_over(self) -> bool:
        return self.ending is not None and self.live == 0 and not self.inbox

    def _abort_wait(self, _: RaiseCancelT) -> Abort:
        self.waiter = None
        return Abort.SUCCEEDED

    def change_intensity(self) -> None:
        """Apply the changed spec's intensity."""
        self.budget.change(self.intensity)
        for node in self.children.values():
            if node.window is not None:
                node.window.change(self.intensity)

    def _finish(self) -> None:
        reason = self.ending
        assert reason is not None
        for node in tuple(self.children.values()):
            if node.start_futures is not None:
                self.fail_starters(node, ActorStopped(self.path, "ended before it started the child"))
            if not self.outlives(node):
                self.drop(node)
            elif node.phase in (Phase.PENDING, Phase.BACKOFF):
                node.clear_alarm()
                if self.returns:
                    node.enter(Phase.PENDING)
                else:
                    self.leave_stopped(node)
        self.ended(reason)

    @property
    def returns(self) -> bool:
        """Whether it will be started again after its end, as far as is known."""
        return self.parent is not None and self.stop is not Stop.FOR_GOOD

    # --- ending -----------------------------------------------------------------------------------------------------

    def ask_to_stop(self, reason: ExitReason) -> None:
        self.post(self.finish, reason)

    def cancel(self, reason: ExitReason) -> None:
        self.post(self._kill_all, reason)
        for node in self.children.values():  # no further message, even before this task serves its queue
            node.kill(reason)

    def finish(self, reason: ExitReason) -> None:
        """End, with all children, in an orderly way."""
        if self.ending is None:
            self.ending = reason
            self.enter(Phase.STOPPING)
            if not self.returns:
                self._refuse_requests()
            self.wind_down()

    def _kill_all(self, reason: ExitReason) -> None:
        self.finish(reason)
        self.ending = reason
        for node in self.children.values():
            if node.is_live:
                node.stop = Stop.TO_RETURN if self.returns else Stop.FOR_GOOD
                node.kill(reason)

    def _refuse_requests(self) -> None:
        while self.requests:
            _, _, future = self.requests.popleft()
            future.fail(ActorStopped(self.path))

    def retire(self, why: str = "is a supervisor and takes no messages") -> None:
        self.box.close(why)
        self._refuse_requests()
        for node in self.children.values():
            if not node.is_live:
                node.enter(Phase.IDLE)
            node.retire("is stopped, as its supervisor is")

    def reopen(self) -> None:
        pass

    def forget(self) -> None:
        super().forget()
        for node in self.children.values():
            node.forget()

    # --- the places of children ---------------------------------------------------------------------------------------

    def path_of(self, child_id: str) -> str:
        """Return the path of a child of this id."""
        return f"/{child_id}" if self.parent is None else f"{self.path}/{child_id}"

    def leave_stopped(self, node: Node) -> None:
        """Leave the child down."""
        if self.forgets(node):
            self.drop(node)
        else:
            node.enter(Phase.IDLE)
            node.retire()

    def drop(self, node: Node) -> None:
        """Forget the child."""
        if self.children.get(node.spec.id) is node:
            del self.children[node.spec.id]
        node.forget()

    def fail_starters(self, node: Node, error: SupervisorError) -> None:
        """Fail the futures of callers that wait for the child's start."""
        futures, node.start_futures = node.start_futures, None
        for future in futures or ():
            future.fail(error)

    def emit(
        self, kind: EventKind, node: Node, *, reason: ExitReason | None = None, delay: float | None = None
    ) -> None:
        self.runtime.events.emit(kind, node, reason, delay)
