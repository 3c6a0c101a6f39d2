"""The pure decision about a child whose incarnation has ended, as a table."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from supervisor import Restart
from supervisor.tree.decide import Decision, Stop, after_end

USUAL: dict[str, Any] = {
    "restart": Restart.PERMANENT,
    "stop": Stop.NONE,
    "is_expected": False,
    "was_ready": True,
    "was_ignored": False,
    "is_new": False,
    "is_awaited": False,
    "is_to_relaunch": False,
    "is_next_to_stop": False,
    "keeps_place": True,
    "supervisor_is_ready": True,
    "supervisor_ends": False,
    "supervisor_returns": True,
}
"""A permanent child that ran and crashed under a supervisor that runs."""
UNSTARTED: dict[str, Any] = {"was_ready": False, "is_new": True}


def decide(**facts: Any) -> Decision:
    """The decision about the usual child, with these facts changed."""
    return after_end(**{**USUAL, **facts})


@pytest.mark.parametrize(
    ("restart", "is_expected", "decision"),
    [
        (Restart.PERMANENT, False, Decision.RESTART),
        (Restart.PERMANENT, True, Decision.RESTART),
        (Restart.TRANSIENT, False, Decision.RESTART),
        (Restart.TRANSIENT, True, Decision.LEAVE_ENDED),
        (Restart.TEMPORARY, False, Decision.LEAVE_ENDED),
        (Restart.TEMPORARY, True, Decision.LEAVE_ENDED),
    ],
)
def test_an_end_of_its_own(restart: Restart, is_expected: bool, decision: Decision) -> None:
    """OTP's table: permanent always, transient after an abnormal end, temporary never."""
    assert decide(restart=restart, is_expected=is_expected) is decision


@pytest.mark.parametrize(
    ("facts", "decision"),
    [
        ({"stop": Stop.FOR_GOOD}, Decision.STAY_STOPPED),
        ({"stop": Stop.TO_RETURN}, Decision.WAIT_FOR_TURN),
        ({"stop": Stop.TO_RETURN, "keeps_place": False}, Decision.STAY_STOPPED),
        ({"is_next_to_stop": True}, Decision.WAIT_FOR_TURN),
        ({"is_next_to_stop": True, "keeps_place": False}, Decision.STAY_STOPPED),
        ({"supervisor_ends": True}, Decision.WAIT_FOR_TURN),
        ({"supervisor_ends": True, "supervisor_returns": False}, Decision.STAY_STOPPED),
        ({"supervisor_ends": True, "stop": Stop.FOR_GOOD}, Decision.STAY_STOPPED),
        ({"is_to_relaunch": True}, Decision.RELAUNCH),
        ({"is_to_relaunch": True, "stop": Stop.TO_RETURN}, Decision.RELAUNCH),
        ({"is_to_relaunch": True, "stop": Stop.TO_RETURN, "supervisor_ends": True}, Decision.WAIT_FOR_TURN),
    ],
)
def test_an_end_that_was_asked_for(facts: dict[str, Any], decision: Decision) -> None:
    """The supervisor's end comes first, then what was asked of the child, then the ordered restart under way."""
    assert decide(**facts) is decision


@pytest.mark.parametrize(
    ("facts", "decision"),
    [
        ({"was_ignored": True}, Decision.LEAVE_IGNORED),
        ({"is_awaited": True}, Decision.REJECT_NEW),
        ({"is_awaited": True, "is_new": False}, Decision.REJECT_KNOWN),
        ({}, Decision.RESTART),
        ({"supervisor_is_ready": False}, Decision.FAIL_SUPERVISOR),
        ({"supervisor_is_ready": False, "was_ignored": True}, Decision.LEAVE_IGNORED),
    ],
)
def test_a_failed_start(facts: dict[str, Any], decision: Decision) -> None:
    """A caller that waits for the start gets the failure; a starting supervisor fails with its child; else it is a restart."""
    assert decide(**{**UNSTARTED, **facts}) is decision


def test_a_stop_never_restarts() -> None:
    """Whatever else is true, a child that was stopped for good stays down unless a new incarnation was asked for."""
    flags = [name for name, value in USUAL.items() if isinstance(value, bool) and name != "is_to_relaunch"]
    for restart in Restart:
        for values in product((False, True), repeat=len(flags)):
            facts = dict(zip(flags, values, strict=True))
            assert decide(restart=restart, stop=Stop.FOR_GOOD, **facts) is Decision.STAY_STOPPED
