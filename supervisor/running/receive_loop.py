"""The message loop of one incarnation: the most frequently executed code of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio.lowlevel import checkpoint, current_task, wait_task_rescheduled

from supervisor.introspection.inquiries import answer_inquiries, trace
from supervisor.messaging.actor import Actor, Refusal
from supervisor.messaging.call import Call
from supervisor.messaging.monitors import Link, Monitor
from supervisor.messaging.timer import NOTHING, Timer

if TYPE_CHECKING:
    from supervisor.running.cell import ActorCell

RECENT: Final = 8
"""The number of recent messages whose types are kept."""
_ENVELOPES: Final[frozenset[Any]] = frozenset({Call, Timer, Monitor, Link})


async def receive_messages(cell: ActorCell, actor: Actor) -> None:
    """Handle messages until the incarnation must end, without a checkpoint until the queue is empty or the turn is over.

    One reading of the clock per message serves the turn, the handler's time and its deadline.
    """
    box, now, receive, task = cell.box, cell.runtime.now, actor.receive, current_task()
    turn_ends, recent = cell.begin_turn()
    while True:
        if cell.attention and await attend(cell, actor):
            return
        queue = box.queue
        if not queue:
            if cell.goes_to_rest(task):
                await wait_task_rescheduled(box.abort_wait)
            turn_ends, recent = cell.begin_turn()
            continue
        message: Any = queue.popleft()
        stamp = box.stamps.popleft()
        if message.__class__ in _ENVELOPES:
            message = cell.unwrap(message)
            if message is NOTHING:
                continue
        cell.current = message
        try:
            answer = await receive(message)
        except Refusal as refusal:
            cell.refuse(refusal)
        else:
            if cell.call is not None:
                cell.answer(answer)
        recent[cell.handled % RECENT] = message.__class__
        cell.handled += 1
        started = cell.turn_started
        cell.turn_started = ended = now()
        cell.busy += ended - started
        if cell.tracer is not None:
            trace(cell, message, started - stamp, ended - started)
        if ended >= turn_ends:
            cell.pause()
            await checkpoint()
            turn_ends, recent = cell.begin_turn()


async def attend(cell: ActorCell, actor: Actor) -> bool:
    """Handle what comes before messages. Return whether the incarnation must end."""
    cell.current = None
    while not cell.is_to_end:
        answer_inquiries(cell, actor)
        if not cell.suspended:
            cell.attention = False
            cell.begin_turn()
            return False
        cell.box.waiter = cell.task
        await wait_task_rescheduled(cell.box.abort_wait)
    return True
