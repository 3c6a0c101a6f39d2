"""Reports what happens to incarnations to subscribers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from supervisor.errors import TooMany
from supervisor.introspection.report import EventKind, ExitReason, LifecycleEvent

if TYPE_CHECKING:
    from supervisor.tree.node import Node

Subscriber = Callable[[LifecycleEvent], object]
MAX_SUBSCRIBERS: Final = 100
_LOG: Final = logging.getLogger("supervisor")
_NOTABLE: Final = frozenset({"crashed", "gave_up", "stuck", "escalated"})


@final
class Events:
    """Calls subscribers at once, in the task of the event; they must not block. Without subscribers, failures are logged."""

    __slots__ = ("_now", "_offset", "_subscribers")

    def __init__(self, now: Callable[[], float], offset: float) -> None:
        self._now = now
        self._offset = offset
        """Difference between trio's time and ``now``."""
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have ``subscriber`` called with each event. Returns the function that ends this."""
        if len(self._subscribers) >= MAX_SUBSCRIBERS:
            raise TooMany("/", "event subscribers", MAX_SUBSCRIBERS)
        self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return unsubscribe

    def emit(self, kind: EventKind, node: Node, reason: ExitReason | None, delay: float | None) -> None:
        """Call every subscriber. One that raises is logged and stays subscribed."""
        if not self._subscribers:
            if kind in _NOTABLE:
                _LOG.error("%s %s: %s%s", node.path, kind, reason, _traceback(reason))
            return
        crash = reason.crash if reason is not None else None
        time = self._now() + self._offset
        event = LifecycleEvent(kind, node.path, time, node.incarnation, node.restarts, reason, crash, delay)
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(event)
            except Exception:  # noqa: BLE001 - it is logged; a subscriber must not end a supervisor
                _LOG.exception("a subscriber to lifecycle events failed over %s of %s", kind, node.path)


def _traceback(reason: ExitReason | None) -> str:
    if reason is None or reason.crash is None or not reason.crash.traceback:
        return ""
    return "\n" + reason.crash.traceback.rstrip()
