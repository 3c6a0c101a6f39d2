"""The resources that one incarnation holds, which end with it: helpers, timers, watches, deferred replies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from supervisor.errors import TooMany

if TYPE_CHECKING:
    from supervisor.messaging.call import Call
    from supervisor.messaging.helper import Helper
    from supervisor.messaging.monitors import Watch
    from supervisor.messaging.timer import Timer

MAX_HELD: Final = 10_000
"""The limit for one incarnation, for each of: helpers, timers, watches (monitors and links) and deferred replies."""


@final
class Resources:
    """Created with the first resource: most incarnations hold none."""

    __slots__ = ("_path", "deferred", "helpers", "timers", "watches")

    def __init__(self, path: str) -> None:
        self._path = path
        self.helpers: dict[Helper, None] = {}
        self.timers: dict[Timer, None] = {}
        self.watches: dict[Watch, None] = {}
        self.deferred: dict[Call, None] = {}

    def add_helper(self, helper: Helper) -> None:
        self._check(len(self.helpers), "helper tasks")
        self.helpers[helper] = None

    def add_timer(self, timer: Timer) -> None:
        self._check(len(self.timers), "timers")
        self.timers[timer] = None

    def add_watch(self, watch: Watch) -> None:
        self._check(len(self.watches), "monitors and links")
        self.watches[watch] = None

    def add_deferred(self, call: Call) -> None:
        self._check(len(self.deferred), "deferred answers")
        self.deferred[call] = None
        call.on_settled = self._forget_call

    def take_deferred(self) -> tuple[Call, ...]:
        """Remove and return the asks with deferred replies."""
        calls = tuple(self.deferred)
        self.deferred.clear()
        for call in calls:
            call.on_settled = None
        return calls

    def cancel_all(self) -> None:
        """End timers and watches. (Helpers have ended, and calls have been failed, before.)"""
        for timer in tuple(self.timers):
            timer.cancel()
        for watch in tuple(self.watches):
            watch.end()

    def _forget_call(self, call: Call) -> None:
        self.deferred.pop(call, None)

    def _check(self, count: int, what: str) -> None:
        if count >= MAX_HELD:
            raise TooMany(self._path, what, MAX_HELD)
