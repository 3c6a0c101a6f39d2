"""Introspection of a running actor: inquiries, traces, and the description of its crash."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from supervisor.introspection.crash import crash_report
from supervisor.introspection.trace import TraceEvent

if TYPE_CHECKING:
    from supervisor.introspection.report import CrashReport
    from supervisor.messaging.actor import Actor
    from supervisor.running.cell import ActorCell

_LOG: Final = logging.getLogger("supervisor")


def answer_inquiries(cell: ActorCell, actor: Actor) -> None:
    """Call the functions that wait to be called between two messages."""
    inquiries, cell.inquiries = cell.inquiries, None
    for function, future in inquiries or ():
        try:
            future.resolve(function(actor))
        except Exception as exc:  # noqa: BLE001 - the error is the inquirer's, not the actor's
            future.fail(exc)


def trace(cell: ActorCell, message: object, waited: float | None, seconds: float, *, crashed: bool = False) -> None:
    """Report a message to the tracer. A tracer that raises is removed."""
    outcome = "crashed" if crashed else "refused" if cell.was_refused else "done"
    cell.was_refused = False
    if cell.tracer is None:
        return
    try:
        cell.tracer(TraceEvent(cell.path, cell.incarnation, message.__class__.__qualname__, waited, seconds, outcome))
    except Exception:  # noqa: BLE001 - it is logged; a tracer must not crash the actor
        cell.tracer = None
        _LOG.exception("the tracer of %s failed and was taken off", cell.path)


def describe_crash(cell: ActorCell, exc: BaseException, *, skip: int) -> CrashReport:
    """Report an exception of an actor; ``skip`` frames of this package precede its own."""
    if cell.tracer is not None and cell.current is not None:
        trace(cell, cell.current, None, cell.runtime.now() - cell.turn_started, crashed=True)
    call = cell.call
    return crash_report(
        exc,
        message_type=cell.message_in_hand,
        caller=call.task.name if call is not None and call.task is not None else None,
        at=cell.runtime.unix_now(),
        skip=skip,
    )
