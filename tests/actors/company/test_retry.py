"""When a company tries again."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from actors.company.retry import Retry
from actors.messages import CompanyState
from config.doubling import doubled
from config.sections import CompanySettings

POLICY = CompanySettings()


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_reconnects_wait_a_random_part_of_a_doubling_bound(seed: int, failures: int) -> None:
    """Full jitter: between 0 and 1, 2, 4, 8 s."""
    retry = Retry(POLICY, Random(seed))
    waits = [retry.after_failure() for _ in range(failures)]

    assert all(state is CompanyState.RECONNECTING for state, _ in waits)
    assert all(0.0 <= wait <= 2.0**index for index, (_, wait) in enumerate(waits))


def test_five_failures_in_a_row_open_the_circuit() -> None:
    """The fifth failure suspends for 5 minutes; probes that fail double it, up to an hour."""
    retry = Retry(POLICY, Random(1))
    for _ in range(4):
        retry.after_failure()

    assert [retry.after_failure() for _ in range(6)] == [
        (CompanyState.SUSPENDED, wait) for wait in (300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0)
    ]


def test_success_starts_anew() -> None:
    """After a connection the next failure waits at most a second again."""
    retry = Retry(POLICY, Random(1))
    for _ in range(7):
        retry.after_failure()
    retry.succeeded()
    state, wait = retry.after_failure()

    assert state is CompanyState.RECONNECTING
    assert wait <= 1.0


def test_conflicts_wait_a_minute_doubling_to_fifteen() -> None:
    """Taking a replaced session back at once would start a fight."""
    retry = Retry(POLICY, Random(1))

    assert [retry.after_conflict() for _ in range(6)] == [60.0, 120.0, 240.0, 480.0, 900.0, 900.0]


@given(st.integers(0, 10_000))
def test_doubling_never_overflows(times: int) -> None:
    """Any number of failures stays within the bound."""
    assert 1.0 <= doubled(1.0, 300.0, times) <= 300.0
