"""Decides about a child whose incarnation has ended. Pure: facts in, a decision out."""

from __future__ import annotations

from enum import Enum, auto

from supervisor.tree.choices import Restart


class Stop(Enum):
    """Whether the supervisor stops the present incarnation, and what follows."""

    NONE = auto()
    """It does not stop it. An end is the child's own, and the supervisor reacts to it."""
    FOR_GOOD = auto()
    """It stops it, and the child stays down: its mailbox is closed."""
    TO_RETURN = auto()
    """It stops it, and the child will be started again: its mailbox stays open."""


class Decision(Enum):
    """What happens to a child whose incarnation has ended."""

    RELAUNCH = auto()
    """Start the next incarnation at once, without counting a restart, as `cycle_child` requested."""
    WAIT_FOR_TURN = auto()
    """The supervisor stopped it and will start it again in its turn."""
    STAY_STOPPED = auto()
    """The supervisor stopped it: leave it stopped, or forget it."""
    LEAVE_IGNORED = auto()
    """It had nothing to run, which is no failure: leave it stopped, or forget it."""
    REJECT_NEW = auto()
    """It did not start and never ran: report that to the caller that asked for the start, and forget it."""
    REJECT_KNOWN = auto()
    """It did not start: report that to the caller that asked for the start, and leave it stopped."""
    FAIL_SUPERVISOR = auto()
    """It did not start while its supervisor was starting: the supervisor's start has failed."""
    RESTART = auto()
    """It ended by itself: start it again, if the intensity allows."""
    LEAVE_ENDED = auto()
    """It ended by itself and stays down, which may end a supervisor with significant children."""


def after_end(
    *,
    restart: Restart,
    stop: Stop,
    is_expected: bool,
    was_ready: bool,
    was_ignored: bool,
    is_new: bool,
    is_awaited: bool,
    is_to_relaunch: bool,
    is_next_to_stop: bool,
    keeps_place: bool,
    supervisor_is_ready: bool,
    supervisor_ends: bool,
    supervisor_returns: bool,
) -> Decision:
    """Decide about a child whose incarnation has ended.

    ``restart`` is from the child's spec. Facts of the incarnation: ``is_expected`` (the reason is an orderly end),
    ``was_ready``, ``was_ignored``, ``is_new`` (no incarnation of the child has been ready), ``is_awaited`` (a caller
    waits for the start), ``is_to_relaunch``, ``is_next_to_stop`` (an ordered restart was about to stop it),
    ``keeps_place`` (it may be started again in the supervisor's present or next incarnation). The supervisor's end
    takes precedence over requests for the child; a stop takes precedence over the restart.
    """
    if is_to_relaunch and not supervisor_ends:
        return Decision.RELAUNCH
    if stop is not Stop.NONE or supervisor_ends or is_next_to_stop:
        returns = supervisor_returns or not supervisor_ends if stop is Stop.NONE else stop is Stop.TO_RETURN
        return Decision.WAIT_FOR_TURN if returns and keeps_place else Decision.STAY_STOPPED
    if not was_ready:
        return _after_failed_start(
            was_ignored=was_ignored, is_new=is_new, is_awaited=is_awaited, supervisor_is_ready=supervisor_is_ready
        )
    if restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and not is_expected):
        return Decision.RESTART
    return Decision.LEAVE_ENDED


def _after_failed_start(*, was_ignored: bool, is_new: bool, is_awaited: bool, supervisor_is_ready: bool) -> Decision:
    if was_ignored:
        return Decision.LEAVE_IGNORED
    if is_awaited:
        return Decision.REJECT_NEW if is_new else Decision.REJECT_KNOWN
    return Decision.RESTART if supervisor_is_ready else Decision.FAIL_SUPERVISOR
