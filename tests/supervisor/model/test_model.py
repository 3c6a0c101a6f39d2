"""Random trees, crashes, hangs, kills, requests and time, against the plain model of OTP's semantics."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from supervisor import AutoShutdown, Restart, Strategy, System
from supervisor.errors import StartFailed
from tests.supervisor.model.live import Live
from tests.supervisor.model.plain import ActorPlan, Model, Outcome, Place, SupPlace, SupPlan

RESTARTS = st.sampled_from(Restart)
DELAYS = st.sampled_from([0.0, 0.0, 0.5, 2.0])
STEPS = 40


@st.composite
def actor_plans(draw: st.DrawFn, child_id: str, sup: dict[str, Any]) -> ActorPlan:
    restart = draw(RESTARTS)
    may_be_significant = restart is not Restart.PERMANENT and sup["auto_shutdown"] is not AutoShutdown.NEVER
    alone = sup["kind"] == "dynamic" or sup["strategy"] is Strategy.ONE_FOR_ONE
    return ActorPlan(
        child_id,
        restart,
        significant=draw(st.booleans()) if may_be_significant else False,
        backoff=draw(DELAYS) if alone else 0.0,
    )


@st.composite
def sup_plans(draw: st.DrawFn, sup_id: str, depth: int) -> SupPlan:
    kind = draw(st.sampled_from(["ordered", "ordered", "dynamic"])) if depth < 2 else "ordered"
    fields: dict[str, Any] = {
        "kind": kind,
        "strategy": draw(st.sampled_from(Strategy)),
        "most": draw(st.integers(0, 3)),
        "within": draw(st.sampled_from([0.5, 2.0, 5.0])),
        "auto_shutdown": draw(st.sampled_from(AutoShutdown)) if kind == "ordered" else AutoShutdown.NEVER,
        "per_child": draw(st.booleans()) if kind == "dynamic" else False,
        "restart": draw(st.sampled_from([Restart.PERMANENT, Restart.PERMANENT, Restart.TRANSIENT])),
    }
    children: list[ActorPlan | SupPlan] = []
    if kind == "ordered":
        for number in range(draw(st.integers(1, 4))):
            if depth > 0 and draw(st.booleans()):
                children.append(draw(sup_plans(f"s{number}", depth - 1)))
            else:
                children.append(draw(actor_plans(f"a{number}", fields)))
    return SupPlan(sup_id, children=tuple(children), **fields)


class TreeMachine(RuleBasedStateMachine):
    """Each rule does the same to the model and to the core; then both must show the same."""

    def __init__(self) -> None:
        super().__init__()
        self.model: Model | None = None
        self.live: Live | None = None
        self.number = 0

    @initialize(plan=sup_plans("root", depth=2))
    def open(self, plan: SupPlan) -> None:
        self.model = Model(plan)
        self.live = Live(plan)

    def teardown(self) -> None:
        if self.live is not None:
            self.live.close()

    # --- choosing -----------------------------------------------------------------------------------------------------

    def _actors(self, *states: str, hung: bool | None = None) -> list[Place]:
        assert self.model is not None
        return [
            place
            for place in self.model.visible()
            if isinstance(place.plan, ActorPlan) and place.state in states and (hung is None or place.is_hung is hung)
        ]

    def _pick(self, places: list[Place], dice: int) -> Place | None:
        return places[dice % len(places)] if places else None

    # --- rules --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.is_on)
    @rule(dice=st.integers(0, 99), orderly=st.booleans())
    def ends(self, dice: int, orderly: bool) -> None:
        if place := self._pick(self._actors("running", hung=False), dice):
            self._tell(place, "stop" if orderly else "crash")
            self.plain.ends(place, orderly=orderly)

    @precondition(lambda self: self.is_on)
    @rule(dice=st.integers(0, 99), beyond=st.sampled_from([0.0, 0.25]), times=st.integers(1, 3))
    def crashes_each_window(self, dice: int, beyond: float, times: int) -> None:
        """At a distance of exactly the window's length, or a little more."""
        for _ in range(times):
            place = self._pick(self._actors("running"), dice)
            if place is None or place.parent is None or self.plain.is_over:
                return
            seconds = place.parent.sup.within + beyond
            self._kill(place)
            self.core.passes(seconds)
            self.plain.passes(seconds)
            self.both_show_the_same()

    @precondition(lambda self: self.is_on)
    @rule(dice=st.integers(0, 99))
    def is_killed(self, dice: int) -> None:
        if place := self._pick(self._actors("running"), dice):
            self._kill(place)

    @precondition(lambda self: self.is_on)
    @rule(dice=st.integers(0, 99))
    def supervisor_is_killed(self, dice: int) -> None:
        places: list[Place] = [
            place
            for place in self.plain.visible()
            if isinstance(place, SupPlace) and place.state == "running" and place.parent is not None
        ]
        if place := self._pick(places, dice):
            self._kill(place)

    @precondition(lambda self: self.is_on)
    @rule(dice=st.integers(0, 99), messages=st.integers(0, 3))
    def hangs(self, dice: int, messages: int) -> None:
        if place := self._pick(self._actors("running", hung=False), dice):
            self._tell(place, "hang")
            place.is_hung = True
            self._tell_numbers(place, messages)

    @precondition(lambda self: self.is_on)
    @rule(dice=st.integers(0, 99))
    def is_told(self, dice: int) -> None:
        if place := self._pick(self._actors("running", "restarting"), dice):
            self._tell_numbers(place, 1)

    @precondition(lambda self: self.is_on)
    @rule(dice=st.integers(0, 99), mode=st.sampled_from(["ok", "ok", "fail", "ignore"]))
    def starts_will(self, dice: int, mode: Outcome) -> None:
        if place := self._pick(self._actors("running", "restarting", "stopped", "failed"), dice):
            self.plain.modes[place.path] = self.core.modes[place.path] = mode

    @precondition(lambda self: self.is_on)
    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 2.0, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.core.passes(seconds)
        self.plain.passes(seconds)

    @precondition(lambda self: self.is_on)
    @rule(dice=st.integers(0, 99), data=st.data(), child=st.integers(0, 4))
    def child_is_added(self, dice: int, data: st.DataObject, child: int) -> None:
        places: list[Place] = [
            place for place in self.plain.visible() if isinstance(place, SupPlace) and place.state == "running"
        ]
        parent = self._pick(places, dice)
        if not isinstance(parent, SupPlace) or f"x{child}" in parent.children:
            return
        fields = {"kind": parent.sup.kind, "strategy": parent.sup.strategy, "auto_shutdown": parent.sup.auto_shutdown}
        plan = data.draw(actor_plans(f"x{child}", fields))
        spec = self.core.spec(plan)

        async def start(system: System) -> None:
            await system.supervisor(parent.path).start_child(spec)

        self._agree(start, self.plain.start_child(parent, plan))

    @precondition(lambda self: self.is_on)
    @rule(dice=st.integers(0, 99))
    def child_is_terminated(self, dice: int) -> None:
        if place := self._pick(self._actors("running", "restarting", "stopped", "failed"), dice):
            self._request("terminate_child", place)
            self.plain.terminate_child(place)

    @precondition(lambda self: self.is_on)
    @rule(dice=st.integers(0, 99))
    def child_is_restarted(self, dice: int) -> None:
        if place := self._pick(self._actors("stopped", "failed"), dice):
            self._agree(self._requested("restart_child", place), self.plain.restart_child(place))

    @precondition(lambda self: self.is_on)
    @rule(dice=st.integers(0, 99))
    def child_is_cycled(self, dice: int) -> None:
        if place := self._pick(self._actors("running", "restarting", "stopped", "failed"), dice):
            self._agree(self._requested("cycle_child", place), self.plain.cycle_child(place))

    @precondition(lambda self: self.is_on)
    @rule(dice=st.integers(0, 99))
    def child_is_deleted(self, dice: int) -> None:
        if place := self._pick(self._actors("stopped", "failed"), dice):
            self._request("delete_child", place)
            self.plain.delete_child(place)

    @precondition(lambda self: not self.is_on)
    @rule()
    def all_is_over(self) -> None:
        """Once the root has ended no rule applies."""

    # --- comparing ----------------------------------------------------------------------------------------------------

    @invariant()
    def both_show_the_same(self) -> None:
        if self.model is None or self.live is None:
            return
        self.model.settle()
        if self.model.is_over:
            assert self.live.system.snapshot().state == "stopped"
            return
        assert self.live.picture() == self.model.picture()
        handled = self.live.handled
        assert len(handled) == len(set(handled))
        assert set(self.model.handled) <= set(handled) <= {*self.model.handled, *self.model.discarded}

    # --- doing --------------------------------------------------------------------------------------------------------

    @property
    def is_on(self) -> bool:
        return self.model is not None and not self.model.is_over

    @property
    def plain(self) -> Model:
        assert self.model is not None
        return self.model

    @property
    def core(self) -> Live:
        assert self.live is not None
        return self.live

    def _tell(self, place: Place, message: object) -> None:
        async def tell(system: System) -> None:
            system.ref(place.path).tell(message)

        self.core.do(tell)

    def _tell_numbers(self, place: Place, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self._tell(place, self.number)
            self.plain.tell(place, self.number)

    def _kill(self, place: Place) -> None:
        async def kill(system: System) -> None:
            assert system.kill(place.path)

        self.core.do(kill)
        self.plain.ends(place, orderly=False)

    def _requested(self, name: str, place: Place) -> Any:
        assert place.parent is not None
        path = place.parent.path

        async def request(system: System) -> None:
            await getattr(system.supervisor(path), name)(place.plan.id)

        return request

    def _request(self, name: str, place: Place) -> None:
        self.core.do(self._requested(name, place))

    def _agree(self, request: Any, outcome: Outcome) -> None:
        """A start that fails in the model fails in the core, and no other."""
        if outcome != "fail":
            self.core.do(request)
            return
        with pytest.raises(StartFailed):
            self.core.do(request)


@pytest.mark.slow
@pytest.mark.parametrize("trees", [150, pytest.param(2_000, marks=pytest.mark.long)])
def test_s2_the_core_and_the_model_show_the_same_after_every_step(trees: int) -> None:
    """That many random trees, up to 40 steps each."""
    run_state_machine_as_test(
        TreeMachine,
        settings=settings(
            max_examples=trees,
            stateful_step_count=STEPS,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
    print(f"S2: {trees:,} trees, up to {STEPS} steps each, compared after every step: 0 divergences")
