"""One incarnation of an actor from its construction to its end; its exceptions stay within its task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from trio.lowlevel import Abort, RaiseCancelT, current_task, wait_task_rescheduled

from supervisor.introspection.inquiries import describe_crash
from supervisor.introspection.report import NORMAL, CrashReport, ExitReason
from supervisor.messaging.actor import Actor, Ignore
from supervisor.messaging.context import Context
from supervisor.running.receive_loop import receive_messages
from supervisor.running.resources import Resources
from supervisor.tree.choices import IGNORE
from supervisor.tree.phase import Phase

if TYPE_CHECKING:
    from supervisor.running.cell import ActorCell


def begin(cell: ActorCell) -> None:
    """Construct the actor and start its task; an actor without a `started` of its own is ready at once."""
    context = cell.context = Context(cell)
    actor: Actor | None = None
    crash: CrashReport | None = None
    try:
        actor = _made(cell, context)
    except Exception as exc:  # noqa: BLE001 - this is the border at which crashes are contained
        crash = _failed_start(cell, exc)
    if actor is None and cell.resources is None:
        cell.finish(_reason(cell, crash))
        return
    is_ready = actor is not None and type(actor).started is Actor.started
    if is_ready:
        cell.acked()
    cell.runtime.start_task(run_incarnation, cell, actor, crash, name=cell.path)


async def run_incarnation(cell: ActorCell, actor: Actor | None, crash: CrashReport | None) -> None:
    """Run the task. `BaseException`s that are not `Exception`s pass through: an actor must not survive them."""
    cell.task = current_task()
    if actor is not None:
        if cell.is_up and cell.may_rest(cell.task):
            await wait_task_rescheduled(cell.box.abort_wait)
        try:
            if not cell.is_to_end:
                with trio.CancelScope() as cell.scope:
                    try:
                        if cell.is_up or await _becomes_ready(cell, actor):
                            await receive_messages(cell, actor)
                    except Exception as exc:  # noqa: BLE001 - this is the border at which crashes are contained
                        crash = describe_crash(cell, exc, skip=2) if cell.is_up else _failed_start(cell, exc)
        except Exception as exc:  # noqa: BLE001 - a group from which the scope took its own cancellation
            crash = describe_crash(cell, exc, skip=2)
    cell.scope = None
    reason = _reason(cell, crash)
    if actor is not None and cell.is_up:
        reason = await _close(cell, actor, reason)
    if cell.resources is not None and cell.resources.helpers:
        await _join_helpers(cell, cell.resources)
    if cell.kill_reason is not None and reason.is_expected:
        reason = _reason(cell, None)
    cell.finish(reason)


def _made(cell: ActorCell, context: Context) -> Actor:
    start = cell.spec.start
    assert callable(start)
    actor = _checked(start(context), cell.path)
    actor.context = context
    return actor


async def _becomes_ready(cell: ActorCell, actor: Actor) -> bool:
    if cell.kill_reason is None:
        await actor.started()
    if cell.kill_reason is not None:  # before it could start, or it swallowed its cancellation
        return False
    cell.acked()
    return True


def _failed_start(cell: ActorCell, exc: Exception) -> CrashReport | None:
    if isinstance(exc, Ignore):
        cell.was_ignored = True
        return None
    return describe_crash(cell, exc, skip=2)


def _checked(made: object, path: str) -> Actor:
    if made is IGNORE:
        raise Ignore
    if not isinstance(made, Actor):
        raise TypeError(f"the start function of {path} must return an Actor or IGNORE, not {made!r}")
    return made


def _reason(cell: ActorCell, crash: CrashReport | None) -> ExitReason:
    """Return why the incarnation ends. A kill_reason takes precedence over an exception raised during the kill."""
    if cell.kill_reason is not None:
        reason, cell.kill_reason = cell.kill_reason, None
        cell.clear_alarm()
    elif crash is not None:
        reason = ExitReason("crashed", f"{crash.type}: {crash.text}", crash)
    else:
        reason = cell.stop_reason or NORMAL
    if not reason.is_expected:
        cell.fail_calls(reason)
    return reason


async def _close(cell: ActorCell, actor: Actor, reason: ExitReason) -> ExitReason:
    """Let the actor clean up. A failure of this becomes the reason of an otherwise orderly end."""
    if reason.kind == "killed" or type(actor).stopping is Actor.stopping:
        return reason
    cell.current = None
    cell.enter(Phase.STOPPING)
    if cell.due is None:
        cell.limit_stop()
    crash: CrashReport | None = None
    try:
        with trio.CancelScope() as cell.scope:
            await actor.stopping(reason)
    except Exception as exc:  # noqa: BLE001 - this is the border at which crashes are contained
        crash = describe_crash(cell, exc, skip=1)
    cell.scope = None
    if reason.is_expected and (crash is not None or cell.kill_reason is not None):
        return _reason(cell, crash)
    return reason


async def _join_helpers(cell: ActorCell, resources: Resources) -> None:
    cell.enter(Phase.STOPPING)
    for helper in tuple(resources.helpers):
        helper.cancel()
    cell.report_if_stuck()
    cell.joining = True

    def abort(_: RaiseCancelT) -> Abort:
        cell.joining = False
        return Abort.SUCCEEDED

    await wait_task_rescheduled(abort)
