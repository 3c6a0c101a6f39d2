"""OTP's semantics in plain Python: no tasks, a number as the time, every step carried out to its end at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from supervisor import AutoShutdown, Restart, Strategy

State = Literal["running", "stopped", "restarting", "failed"]
Outcome = Literal["ok", "fail", "ignore"]


@dataclass(frozen=True)
class ActorPlan:
    id: str
    restart: Restart = Restart.PERMANENT
    significant: bool = False
    backoff: float = 0.0


@dataclass(frozen=True)
class SupPlan:
    id: str
    kind: Literal["ordered", "dynamic"]
    children: tuple[ActorPlan | SupPlan, ...] = ()
    strategy: Strategy = Strategy.ONE_FOR_ONE
    most: int = 3
    within: float = 5.0
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    per_child: bool = False
    restart: Restart = Restart.PERMANENT
    significant: bool = False
    backoff: float = 0.0


@dataclass(eq=False)
class Place:
    plan: ActorPlan | SupPlan
    parent: SupPlace | None
    state: State = "stopped"
    incarnation: int = 0
    times: list[float] = field(default_factory=list[float])
    due: tuple[float, int] | None = None
    is_hung: bool = False
    queue: list[int] = field(default_factory=list[int])

    @property
    def path(self) -> str:
        if self.parent is None:
            return "/"
        return f"{self.parent.path.rstrip('/')}/{self.plan.id}"


@dataclass(eq=False)
class SupPlace(Place):
    children: dict[str, Place] = field(default_factory=dict[str, Place])

    @property
    def sup(self) -> SupPlan:
        assert isinstance(self.plan, SupPlan)
        return self.plan


class Model:
    """A tree, what starts it, and what was handled."""

    def __init__(self, root: SupPlan) -> None:
        self.now = 0.0
        self.modes: dict[str, Outcome] = {}
        """How the next starts of the actor at a path come out; `ok` by default."""
        self.handled: list[int] = []
        self.discarded: list[int] = []
        """Queued messages that no incarnation will handle; a short-lived one may have handled them before."""
        self.is_over = False
        self._number = count()
        self.root = self._make(root, None)
        assert isinstance(self.root, SupPlace)
        assert self._start(self.root) == "ok"

    # --- reading ------------------------------------------------------------------------------------------------------

    def places(self, place: Place | None = None) -> Iterator[Place]:
        place = place if place is not None else self.root
        yield place
        if isinstance(place, SupPlace):
            for child in place.children.values():
                yield from self.places(child)

    def visible(self, place: Place | None = None) -> Iterator[Place]:
        """Places whose supervisors all run: what is below a waiting one is about to be made anew."""
        place = place if place is not None else self.root
        yield place
        if isinstance(place, SupPlace) and place.state == "running":
            for child in place.children.values():
                yield from self.visible(child)

    def picture(self) -> dict[str, tuple[State, int]]:
        return {place.path: (place.state, place.incarnation) for place in self.visible()}

    def settle(self) -> None:
        """Let every place that runs and does not hang handle its queue."""
        for place in self.visible():
            if place.state == "running" and not place.is_hung:
                self.handled += place.queue
                place.queue.clear()

    # --- what happens -------------------------------------------------------------------------------------------------

    def ends(self, place: Place, *, orderly: bool) -> None:
        """A running place ends by itself, or is killed."""
        parent = place.parent
        self._halt(place)
        if parent is None:
            self._over()
            return
        restart = place.plan.restart
        if restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and not orderly):
            self._restart(parent, place)
            return
        significant = place.plan.significant
        self._lay_down(parent, place)
        if significant and self._shuts_down(parent):
            self.ends(parent, orderly=True)

    def tell(self, place: Place, number: int) -> None:
        if place.is_hung or place.state == "restarting":
            place.queue.append(number)
        else:
            self.handled.append(number)

    def passes(self, seconds: float) -> None:
        """Let time pass; delayed restarts come due in their order."""
        end = self.now + seconds
        while not self.is_over:
            waiting = [place for place in self.places() if place.due is not None and place.due[0] <= end]
            if not waiting:
                break
            place = min(waiting, key=lambda waits: waits.due or (0.0, 0))
            assert place.due is not None
            self.now = place.due[0]
            place.due = None
            assert place.parent is not None
            self._start_again(place.parent, place)
        self.now = end

    # --- what is asked for --------------------------------------------------------------------------------------------

    def start_child(self, parent: SupPlace, plan: ActorPlan) -> Outcome:
        place = parent.children[plan.id] = self._make(plan, parent)
        outcome = self._start(place)
        if outcome == "fail":
            del parent.children[plan.id]
        elif outcome == "ignore":
            self._lay_down(parent, place)
        return outcome

    def terminate_child(self, place: Place) -> None:
        assert place.parent is not None
        self._halt(place)
        self._lay_down(place.parent, place)

    def restart_child(self, place: Place) -> Outcome:
        assert place.parent is not None
        outcome = self._start(place)
        if outcome != "ok":
            self._lay_down(place.parent, place)
        return outcome

    def cycle_child(self, place: Place) -> Outcome:
        self._halt(place)
        return self.restart_child(place)

    def delete_child(self, place: Place) -> None:
        assert place.parent is not None
        del place.parent.children[place.plan.id]

    # --- the rules ----------------------------------------------------------------------------------------------------

    def _make(self, plan: ActorPlan | SupPlan, parent: SupPlace | None) -> Place:
        if isinstance(plan, ActorPlan):
            return Place(plan, parent)
        place = SupPlace(plan, parent)
        self._declare(place)
        return place

    def _declare(self, place: SupPlace) -> None:
        """The places of the plan's children, in its order; only they outlive an incarnation of the supervisor."""
        present = place.children
        place.children = {}
        for child in place.sup.children:
            place.children[child.id] = present.get(child.id) or self._make(child, place)

    def _start(self, place: Place) -> Outcome:
        place.incarnation += 1
        place.state = "stopped"
        if isinstance(place, SupPlace):
            return self._start_sup(place)
        outcome = self.modes.get(place.path, "ok")
        if outcome == "ok":
            place.state = "running"
        return outcome

    def _start_sup(self, place: SupPlace) -> Outcome:
        place.times.clear()
        self._declare(place)
        for child in list(place.children.values()):
            outcome = self._start(child)
            if outcome == "fail":
                for started in reversed(list(place.children.values())):
                    self._halt(started)
                return "fail"
            if outcome == "ignore":
                self._lay_down(place, child)
        place.state = "running"
        return "ok"

    def _halt(self, place: Place) -> None:
        """End the place and everything below; queues are kept."""
        place.due = None
        place.is_hung = False
        if place.state in ("running", "restarting"):
            place.state = "restarting"
        if isinstance(place, SupPlace):
            for child in reversed(list(place.children.values())):
                self._halt(child)
            self._keep_declared(place)

    def _restart(self, parent: SupPlace, place: Place) -> None:
        if not self._spend(parent, place):
            return
        if parent.sup.kind == "dynamic" or parent.sup.strategy is Strategy.ONE_FOR_ONE:
            place.state = "restarting"
            if place.plan.backoff:
                place.due = (self.now + place.plan.backoff, next(self._number))
            else:
                self._start_again(parent, place)
        else:
            self._restart_group(parent, place)

    def _start_again(self, parent: SupPlace, place: Place) -> None:
        outcome = self._start(place)
        if outcome == "fail":
            place.state = "restarting"
            self._restart(parent, place)
        elif outcome == "ignore":
            self._lay_down(parent, place)

    def _restart_group(self, parent: SupPlace, place: Place) -> None:
        members = list(parent.children.values())
        if parent.sup.strategy is Strategy.REST_FOR_ONE:
            members = members[members.index(place) :]
        for member in reversed(members):
            was_running = member.state == "running"
            self._halt(member)
            if was_running and member is not place and member.plan.restart is Restart.TEMPORARY:
                self._lay_down(parent, member)
                members.remove(member)
        for member in members:
            member.state = "restarting"
        for member in members:
            outcome = self._start(member)
            if outcome == "fail":
                self._restart(parent, member)
                return
            if outcome == "ignore":
                self._lay_down(parent, member)

    def _spend(self, parent: SupPlace, place: Place) -> bool:
        """Count a restart; when it is one too many, carry out the consequences."""
        times = place.times if parent.sup.per_child else parent.times
        times.append(self.now)
        times[:] = [time for time in times if time >= self.now - parent.sup.within]
        if len(times) <= parent.sup.most:
            return True
        if parent.sup.per_child:
            place.state = "failed"
            self._discard(place)
        else:
            self.ends(parent, orderly=True)
        return False

    def _lay_down(self, parent: SupPlace, place: Place) -> None:
        if parent.sup.kind == "dynamic" or place.plan.restart is Restart.TEMPORARY:
            del parent.children[place.plan.id]
        self._retire(place)

    def _retire(self, place: Place) -> None:
        place.state = "stopped"
        place.due = None
        place.is_hung = False
        self._discard(place)
        if isinstance(place, SupPlace):
            self._keep_declared(place)
            for child in place.children.values():
                self._retire(child)

    def _discard(self, place: Place) -> None:
        self.discarded += place.queue
        place.queue.clear()

    def _keep_declared(self, place: SupPlace) -> None:
        """Children that the plan does not name, or names as temporary, do not outlive the supervisor's incarnation."""
        kept = {child.id for child in place.sup.children if child.restart is not Restart.TEMPORARY}
        for name, child in list(place.children.items()):
            if name not in kept:
                self._retire(child)
                del place.children[name]

    def _shuts_down(self, parent: SupPlace) -> bool:
        if parent.sup.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT:
            return True
        return parent.sup.auto_shutdown is AutoShutdown.ALL_SIGNIFICANT and not any(
            child.plan.significant and child.state in ("running", "restarting") for child in parent.children.values()
        )

    def _over(self) -> None:
        self.is_over = True
