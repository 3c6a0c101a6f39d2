"""The real core in a thread of its own, under a clock that stands still, driven one step at a time."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from queue import Queue
from typing import Any, TypeVar

import trio
import trio.testing
from trio.testing import MockClock

from supervisor import (
    BRUTAL_KILL,
    IGNORE,
    NORMAL,
    Actor,
    ActorSnapshot,
    Backoff,
    ChildSpec,
    Context,
    DynamicSupervisorSpec,
    Intensity,
    SupervisorSpec,
    System,
    open_system,
)
from supervisor.tree.choices import Ignored
from tests.supervisor.model.plain import ActorPlan, Outcome, SupPlan
from tests.supervisor.probes import Boom

T = TypeVar("T")


class Live:
    """Runs a plan; each call returns when all tasks are blocked again."""

    def __init__(self, plan: SupPlan) -> None:
        self.modes: dict[str, Outcome] = {}
        self.handled: list[int] = []
        self.clock = MockClock()
        self._ready = Queue[BaseException | None]()
        self._thread = threading.Thread(target=self._run, args=(plan,), daemon=True)
        self._thread.start()
        error = self._ready.get(timeout=30)
        if error is not None:
            raise error

    def do(self, step: Callable[[System], Awaitable[T]]) -> T:
        """Carry out a step and wait until all tasks are blocked."""

        async def quietly() -> T:
            with trio.fail_after(1_000_000):
                result = await step(self.system)
                await trio.testing.wait_all_tasks_blocked()
                return result

        return trio.from_thread.run(quietly, trio_token=self._token)

    def passes(self, seconds: float) -> None:
        """Let time pass, from one deadline to the next."""

        async def go(system: System) -> None:
            end = trio.current_time() + seconds
            while self.is_on and (due := system._runtime.timers.next_due()) is not None and due <= end:
                self.clock.jump(max(0.0, due - trio.current_time()))
                await trio.testing.wait_all_tasks_blocked()
            self.clock.jump(end - trio.current_time())

        self.do(go)

    @property
    def is_on(self) -> bool:
        """Whether the root still runs; after its end the deadlines that are left are not served."""
        return self.system.snapshot().state != "stopped"

    def picture(self) -> dict[str, tuple[str, int]]:
        seen: dict[str, tuple[str, int]] = {}

        def look(place: ActorSnapshot) -> None:
            seen[place.path] = (place.state, place.incarnation)
            if place.state == "running":
                for child in place.children:
                    look(child)

        look(self.system.snapshot())
        return seen

    def close(self) -> None:
        trio.from_thread.run_sync(self._closing.set, trio_token=self._token)
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()

    def spec(self, plan: ActorPlan | SupPlan) -> ChildSpec:
        backoff = None
        if plan.backoff:
            backoff = Backoff(initial=plan.backoff, minimum=plan.backoff, maximum=plan.backoff, factor=1, jitter=False)
        options: dict[str, Any] = {"restart": plan.restart, "significant": plan.significant, "backoff": backoff}
        if isinstance(plan, ActorPlan):
            return ChildSpec(plan.id, self._start, shutdown=BRUTAL_KILL, **options)
        return ChildSpec(plan.id, self._tree(plan), **options)

    def _tree(self, plan: SupPlan) -> SupervisorSpec | DynamicSupervisorSpec:
        intensity = Intensity(plan.most, plan.within)
        if plan.kind == "dynamic":
            return DynamicSupervisorSpec(intensity=intensity, intensity_per_child=plan.per_child)
        return SupervisorSpec(
            [self.spec(child) for child in plan.children],
            strategy=plan.strategy,
            intensity=intensity,
            auto_shutdown=plan.auto_shutdown,
        )

    def _start(self, context: Context) -> Actor | Ignored:
        mode = self.modes.get(context.path, "ok")
        if mode == "fail":
            raise Boom("start")
        return IGNORE if mode == "ignore" else Subject(self.handled)

    def _run(self, plan: SupPlan) -> None:
        try:
            trio.run(self._main, plan, clock=self.clock)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for the start
            self._ready.put(error)

    async def _main(self, plan: SupPlan) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._closing = trio.Event()
        async with open_system(self._tree(plan), on_event=lambda _: None) as self.system:
            self._ready.put(None)
            await self._closing.wait()


class Subject(Actor):
    """Notes numbers; crashes, stops and hangs when asked to."""

    def __init__(self, handled: list[int]) -> None:
        self.handled = handled

    async def receive(self, message: Any) -> Any:
        match message:
            case int():
                self.handled.append(message)
            case "crash":
                raise Boom("told to")
            case "stop":
                self.context.stop(NORMAL)
            case _:
                await trio.sleep_forever()
