"""The table of company states."""

from __future__ import annotations

import pytest

from actors.company.state_record import StateRecord
from actors.company.states import SUCCESSORS, ImpossibleTransition
from actors.messages import CompanyState


def test_every_state_has_a_way_out_and_a_way_in() -> None:
    """Every state can be left, and every state can be reached."""
    assert set(SUCCESSORS) == set(CompanyState)
    assert all(SUCCESSORS[state] - {state} for state in CompanyState)
    assert set(CompanyState) - set().union(*SUCCESSORS.values()) == set()


def test_an_impossible_transition_is_a_bug_and_says_so() -> None:
    """A stopped company cannot be connected at once."""
    stopped = StateRecord(CompanyState.STOPPED, "test", 0.0, 0)

    with pytest.raises(ImpossibleTransition, match="cannot go from stopped to connected"):
        stopped.followed_by(CompanyState.CONNECTED, "test", 1.0)


def test_a_new_reason_keeps_the_time_of_the_state() -> None:
    """`since` says how long the state has lasted, whatever its reasons."""
    first = StateRecord(CompanyState.CONNECTING, "one", 5.0, 1)
    second = first.followed_by(CompanyState.CONNECTING, "two", 9.0)

    assert (second.since, second.serial, second.reason) == (5.0, 2, "two")
